"""The desk: reviewers decide one document after another. The page's script asks for the next and sends decisions.

Except for the page itself, every answer is JSON: anything else comes from a proxy, and the script ignores it.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from db.queries import decisions, label_examples, labels, queue_items, status, training_runs, waiting_counts
from db.queries.decisions import Decision, Shares
from db.queries.sensitive import sensitive_documents
from db.session import session
from monitoring.first_evidence import on_the_way
from sortline.text import Text
from web.desk.documents import WHY, desk_document
from web.desk.queue_policy import next_documents
from web.guidelines import guideline_html, summary
from web.ids import SentBigId
from web.render import html, page
from web.sessions import Person, Reviewer, Scripted, ScriptedSignedIn
from web.visible import visible

router = APIRouter(prefix="/desk", include_in_schema=False)

_AT_ONCE = 3
_COUNTED = 10_000
_MOST_TYPED = 10_000  # characters; a shorter text that is still too long gets an error that names its field


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Have(_Asked):
    """Documents on the page, and those that it must not get: in the person's other tabs, or decided."""

    have: Annotated[list[SentBigId], Field(max_length=50)] = []
    elsewhere: Annotated[list[SentBigId], Field(max_length=200)] = []


class Tokens(_Asked):
    """The leases of the page."""

    tokens: Annotated[list[SentBigId], Field(max_length=50)]


class Decided(_Asked):
    """A decision, as the page sends it."""

    document_id: SentBigId
    token: SentBigId
    action: Literal["label", "none_fits", "skip", "flag"]
    label_id: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    seconds: Annotated[float, Field(ge=0, le=86_400)] | None = None
    note: Annotated[Text, Field(max_length=_MOST_TYPED)] | None = None
    proposed_label: Annotated[Text, Field(max_length=_MOST_TYPED)] | None = None


class Undo(_Asked):
    """Which decision to take back."""

    review_id: SentBigId


@router.get("")
def desk(request: Request, person: Reviewer) -> HTMLResponse:
    """The desk, where people decide the waiting documents one after another."""
    with session(request.app.state.settings.postgres_url) as opened:
        last = decisions.last(opened, person.id)
        blurred = sensitive_documents(opened, [each.document_id for each in last])
        around = _around(request, opened)
        starter, promise = on_the_way(opened, request.app.state.settings)
    return page("desk.html", person=person, script=True, last=last, sensitive=blurred, around=around, why=WHY,
                starter=starter, promise=promise, most_note=decisions.MOST_NOTE)  # fmt: skip


@router.post("/next")
def next_(request: Request, person: Scripted, asked: Have) -> JSONResponse:
    """Returns the next documents that the page does not have yet, as HTML in JSON; empty if nothing is free."""
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        queue_items.leases_may_be_lost(opened)
        wanted = max(0, _AT_ONCE - len(asked.have))
        ids = next_documents(
            opened,
            person.id,
            [*asked.have, *asked.elsewhere],
            wanted,
            lease_s=settings.lease_s,
            hidden_share=settings.hidden_share,
        )
        opened.commit()
        return _documents(opened, person, ids)


@router.post("/decisions")
def decide(request: Request, person: Scripted, asked: Decided) -> JSONResponse:
    """Stores a decision; if it is sent twice, it is stored once."""
    settings = request.app.state.settings
    said = {name: (value or "").strip() or None for name, value in
            (("note", asked.note), ("proposed_label", asked.proposed_label))}  # fmt: skip
    decision = Decision(asked.document_id, asked.token, asked.action, asked.label_id, asked.seconds, **said)
    with session(settings.postgres_url) as opened:
        done = decisions.decide(opened, decision, person.id, Shares(settings.overlap_share, settings.repeat_share))
        opened.commit()
    return JSONResponse(done._asdict())


@router.post("/undo")
def undo(request: Request, person: Scripted, asked: Undo) -> JSONResponse:
    """Takes a decision back and returns its document as HTML in JSON, unless another person has it by now."""
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        document_id = decisions.undo(opened, asked.review_id, person.id, settings.lease_s)
        opened.commit()
        return _documents(opened, person, [] if document_id is None else [document_id])


@router.post("/renew")
def renew(request: Request, person: Scripted, asked: Tokens) -> JSONResponse:
    """Extends the page's leases; returns which of them the reviewer still has, and the state of the queue."""
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        tokens = queue_items.renew(opened, person.id, asked.tokens, settings.lease_s)
        opened.commit()
        return JSONResponse({"tokens": tokens, "around": _around(request, opened)})


@router.get("/labels")
def list_labels(request: Request, _person: Scripted) -> JSONResponse:
    """Returns the labels in use, each with the first line of its guideline."""
    with session(request.app.state.settings.postgres_url) as opened:
        rows = [row for row in labels.listing(opened) if row.archived_at is None]
    return JSONResponse([
        {"id": row.id, "name": row.name, "description": summary(row.description), "sensitive": row.sensitive}
        for row in rows
    ])  # fmt: skip


@router.get("/guidelines")
def list_guidelines(request: Request, person: Scripted) -> JSONResponse:
    """Returns the guidelines and examples of the labels in use, as HTML in JSON."""
    with session(request.app.state.settings.postgres_url) as opened:
        rows = [row for row in labels.listing(opened) if row.archived_at is None]
        examples = label_examples.by_label(opened)
    shown = html(
        "guidelines.html", person=person, labels=rows, examples=examples, guideline_html=guideline_html, visible=visible
    )
    return JSONResponse({"html": shown})


@router.get("/session")
def who(person: ScriptedSignedIn) -> JSONResponse:
    """Returns who is signed in, so that a page can go on with the person's next session when one has ended.

    Whoever still has to set up a second factor is told so by the other routes.
    """
    return JSONResponse({"id": person.id, "name": person.name, "csrf": person.csrf})


def _documents(opened: Session, person: Person, ids: list[int]) -> JSONResponse:
    by_id = {row.id: row for row in labels.listing(opened)} if ids else {}
    blurred = sensitive_documents(opened, ids)
    leased = queue_items.leased(opened, person.id, ids)
    shown = [desk_document(each, by_id, each.document_id in blurred) for each in leased]
    answer = {"html": html("desk_documents.html", person=person, documents=shown)}
    if ids:  # so that the page loads the labels again once one was added, archived or brought back
        in_use = [row.id for row in by_id.values() if row.archived_at is None]
        answer["labels"] = f"{len(in_use)}-{sum(in_use)}"
    return JSONResponse(answer)


def _around(request: Request, opened: Session) -> dict[str, Any]:
    """How many documents wait, and when the next training starts, in words."""
    settings = request.app.state.settings
    counts = waiting_counts.up_to(opened, _COUNTED)
    waiting = sum(counts.values())
    enough = status.enough_to_train(opened, settings.retrain_after)
    since = status.decisions_since(opened, max(1, enough))
    run = training_runs.unfinished(opened)
    if run is not None:
        training = f"Training run {run.id} is {run.state}."
    elif enough:
        training = f"The next training starts at {enough:,} new decision{'s' if enough != 1 else ''} (now {since:,})."
    else:
        training = "Trainings are started by hand."
    more = "more than " if any(count >= _COUNTED for count in counts.values()) else ""
    return {"waiting": f"{more}{waiting:,}", "training": training}
