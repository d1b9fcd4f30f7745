"""What upstream systems say about documents: that a person should look at one, and what their own people decided."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from db.queries import decisions, queue_items, upstream_decisions
from db.queries.document_state import document_id
from db.queries.upstream_decisions import Upstream
from db.session import session
from sortline.errors import NotFoundError
from sortline.queue import DEFAULT_SOURCE, MAX_ID_CHARS, MAX_SOURCE_CHARS
from sortline.text import Text
from web.api.names import Id, Source, checked, names_in_path
from web.api.reference import problems
from web.api.tokens import Documents, Reviews
from web.once import Once, Repeatable

router = APIRouter(prefix="/v1", tags=["reviews"])

_MOST_LABEL = 1000  # characters; a name longer than a label can be is unknown
_Note = Annotated[Text, Field(max_length=decisions.MOST_NOTE)]


class Flag(BaseModel):
    """Why a person should look at the document."""

    model_config = ConfigDict(extra="forbid")

    note: _Note = ""


class Flagged(BaseModel):
    """The document waits for a person."""

    source: str
    id: str
    flagged: bool


class _Noted(BaseModel):
    """The part of the answer that is stored: no names, which an erasure would have to find."""

    flagged: bool = True


class UpstreamReview(BaseModel):
    """A decision by one of your own people; ``label`` is null if none fits, ``reviewer`` your name for the person."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[Text, Field(min_length=1, max_length=MAX_SOURCE_CHARS)] = DEFAULT_SOURCE
    id: Annotated[Text, Field(min_length=1, max_length=MAX_ID_CHARS)]
    label: Annotated[Text, Field(min_length=1, max_length=_MOST_LABEL)] | None
    reviewer: Annotated[Text, Field(max_length=100)] = ""
    note: _Note | None = None


class UpstreamReviews(BaseModel):
    """Decisions; all of them are accepted, or none."""

    model_config = ConfigDict(extra="forbid")

    reviews: Annotated[list[UpstreamReview], Field(min_length=1, max_length=1000)]


class Written(BaseModel):
    """How many decisions were new."""

    accepted: int


@router.post(
    "/documents/{source:anything}/{id:anything}/flag",
    response_model=Flagged,
    responses=problems(401, 403, 404, 409, 413, 422, 503),
)
def flag(request: Request, token: Documents, once: Once, source: Text, id: Text, flag: Flag | None = None) -> Flagged:
    """Queue a document for a person. Percent-encode source and id.

    If a proxy has decoded `%2F`, the document is found if the path fits only one existing document.
    """
    with session(request.app.state.settings.postgres_url) as opened:
        return _flag(opened, names_in_path(request, opened, "/flag"), token, once, flag)


@router.post("/documents/flag", response_model=Flagged, responses=problems(401, 403, 404, 409, 413, 422, 503))
def flag_by_query(
    request: Request, token: Documents, once: Once, source: Source, id: Id, flag: Flag | None = None
) -> Flagged:
    """Queue a document for a person, as `POST /v1/documents/{source}/{id}/flag` does."""
    with session(request.app.state.settings.postgres_url) as opened:
        return _flag(opened, checked(source, id), token, once, flag)


@router.post("/reviews", status_code=201, response_model=Written, responses=problems(401, 403, 404, 409, 413, 422, 503))
def add_reviews(request: Request, token: Reviews, once: Once, asked: UpstreamReviews) -> Written:
    """Send decisions of your own people: trainings learn from them, and nobody decides these documents here again.

    A decision that repeats the same person's last one changes nothing. If a document or label is unknown, the whole
    request is refused and the problem names it.
    """
    with session(request.app.state.settings.postgres_url) as opened:
        return once.done(opened, f"token:{token}", Written, lambda: _add(opened, token, asked.reviews))


def _add(opened: Session, token: str, reviews: Sequence[UpstreamReview]) -> Written:
    given = [
        Upstream(
            _known(opened, each.source, each.id, i), f"{token}/{each.reviewer}" if each.reviewer else token,
            each.label, each.note or None,
        )
        for i, each in enumerate(reviews)
    ]  # fmt: skip
    return Written(accepted=upstream_decisions.add(opened, given))


def _flag(opened: Session, name: tuple[str, str], token: str, once: Repeatable, flag: Flag | None) -> Flagged:
    source, id = name
    found = _known(opened, source, id)
    note = (flag.note if flag else "").strip()

    def note_it() -> _Noted:
        queue_items.flag(opened, found, f"{token}: {note}" if note else f"flagged by {token}")
        return _Noted()

    once.done(opened, f"token:{token}", _Noted, note_it)
    return Flagged(source=source, id=id, flagged=True)


def _known(opened: Session, source: str, id: str, index: int | None = None) -> int:
    found = document_id(opened, source, id)
    if found is None:
        which = "" if index is None else f" (review {index}: {source}/{id})"
        raise NotFoundError(f"the document is unknown or still waiting in its lane{which}")
    return found
