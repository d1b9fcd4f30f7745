"""Routes that accept documents and report their states."""

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import JSONResponse

from db.queries.document_state import Sent, document_state
from db.session import session
from housekeeping.erase import Chosen, Stores, erase
from sortline import meta
from sortline.errors import InvalidDocumentError, NotFoundError
from sortline.queue import (
    DEFAULT_SOURCE,
    MAX_ID_CHARS,
    MAX_SOURCE_CHARS,
    MAX_TEXT_BYTES,
    Document,
    check_lane,
)
from sortline.settings import LANES, Lane
from sortline.text import Text, content_hash
from web.api.body import parse_documents, parse_object
from web.api.names import Id, Source, checked, names_in_path, sure_names_in_path
from web.api.reference import problems
from web.api.tokens import Documents, Erase
from web.api.waiting import MOST_S, Waiting

router = APIRouter(prefix="/v1/documents", tags=["documents"])

_DOCUMENT = {
    "type": "object",
    "required": ["id", "text"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS},
        "text": {"type": "string", "minLength": 1, "description": f"At most {MAX_TEXT_BYTES:,} bytes of UTF-8."},
        "source": {"type": "string", "minLength": 1, "maxLength": MAX_SOURCE_CHARS, "default": DEFAULT_SOURCE},
        "meta": {
            "anyOf": [{"type": "object"}, {"type": "null"}],
            "description": f"Any JSON object of at most {meta.MAX_BYTES:,} bytes and {meta.MAX_DEPTH} levels. Integers "
            "must fit 64 bits, other numbers a double; a key may occur only once.",
        },
    },
}
_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["documents"],
    "additionalProperties": False,
    "properties": {
        "documents": {"type": "array", "items": _DOCUMENT},
        "lane": {"type": "string", "enum": list(LANES), "default": "live"},
    },
    "example": {"documents": [{"id": "msg-1", "text": "My card has not arrived.", "source": "mail"}], "lane": "live"},
}


class _Anything(Convertor[str]):
    """The rest of a path, in which any character may occur, line ends included."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())


class Accepted(BaseModel):
    """How many documents were accepted."""

    accepted: int


class Review(BaseModel):
    """What a person decided; the label is null if none fits."""

    action: Literal["confirm", "correct", "none_fits"]
    label: str | None
    reviewer: str
    at: str


class State(BaseModel):
    """The state of a document.

    `stored`: it is stored, but no model has predicted it yet. `label`, `confidence`, `decision`, `fit` and
    `model_version` come from the model, and are null if it made no prediction. `fit` is the probability that the
    document belongs to one of the labels; it is also null if the model gives none. `review` is the newest human
    decision. For a dead document, `decision` is the reason. `unknown_share` is present only if the model can't read
    more than a tenth of the text's characters.
    """

    source: str
    id: str
    state: Literal["stored", "classified", "reviewed", "dead"]
    label: str | None
    confidence: float | None
    decision: str | None
    fit: float | None
    model_version: int | None
    review: Review | None
    unknown_share: float | None = None


class States(BaseModel):
    """The states of a request's documents, in their order and for exactly the texts that were sent."""

    results: list[State]


class Erased(BaseModel):
    """How much was erased: versions of the document, decisions on it, and dead letters."""

    documents: int
    reviews: int
    dead_letters: int


@router.post(
    "",
    status_code=202,
    response_model=Accepted,
    responses={
        200: {"model": States, "description": "All results, if the request waited for them"},
        **problems(401, 403, 413, 422, 429, 503),
    },
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}}},
)
async def send_documents(
    request: Request, _token: Documents, wait: Annotated[float, Query(ge=0, le=MOST_S)] = 0
) -> Accepted | JSONResponse:
    """Send documents to a lane: all of them, in order, or none.

    Answers 202 when Redis has them on disk. With `wait`, the answer is delayed for at most that many seconds; it is
    200 with the results if all of them are ready in that time. While no model version is active, documents have the
    state `stored` within a second, and that is the result. One invalid document refuses the whole request; the
    problem's `index` names it. Sending the same document again changes nothing.
    """
    raw = await request.body()
    until = time.monotonic() + wait
    lane, documents = await run_in_threadpool(_parse, request.app, raw)
    waiting: Waiting = request.app.state.waiting
    if not wait or not documents or waiting.full:
        await run_in_threadpool(_append, request.app, documents, lane)
        return Accepted(accepted=len(documents))
    hashes = await run_in_threadpool(_hashes, documents)
    async with waiting.listening([(each.source, each.id) for each in documents]) as woken:
        entry_ids = await run_in_threadpool(_append, request.app, documents, lane)
        sent = [
            Sent(each.source, each.id, hash, lane, entry_id)
            for each, hash, entry_id in zip(documents, hashes, entry_ids, strict=True)
        ]
        states = await waiting.states(sent, woken, until, request.is_disconnected)
    return Accepted(accepted=len(documents)) if states is None else JSONResponse({"results": states})


@router.get(
    "",
    response_model=State,
    response_model_exclude_unset=True,
    responses=problems(401, 403, 404, 422, 503),
)
def get_document_by_query(request: Request, _token: Documents, source: Source, id: Id) -> State:
    """The state of a document's newest version; 404 while it waits.

    This is the safest way to name a document: proxies change paths, such as `%2F` in them, but not queries.
    """
    with session(request.app.state.settings.postgres_url) as opened:
        return _state(opened, *checked(source, id))


@router.get(
    "/{source:anything}/{id:anything}",
    response_model=State,
    response_model_exclude_unset=True,
    responses=problems(401, 403, 404, 503),
)
def get_document(request: Request, _token: Documents, source: Text, id: Text) -> State:
    """The state of a document's newest version; 404 while it waits. Percent-encode source and id.

    If a proxy has decoded `%2F`, the document is found if the path fits only one existing document.
    """
    with session(request.app.state.settings.postgres_url) as opened:
        return _state(opened, *names_in_path(request, opened))


@router.delete("", status_code=202, response_model=Erased, responses=problems(401, 403, 404, 422, 503))
def erase_document_by_query(request: Request, token: Erase, source: Source, id: Id) -> Erased:
    """Erase all versions of a document for good, as `DELETE /v1/documents/{source}/{id}` does."""
    return _erase(request.app, checked(source, id), token)


@router.delete(
    "/{source:anything}/{id:anything}",
    status_code=202,
    response_model=Erased,
    responses=problems(401, 403, 404, 503),
)
def erase_document(request: Request, token: Erase, source: Text, id: Text) -> Erased:
    """Erase all versions of a document for good. Percent-encode source and id. The scope is `erase`.

    A path in which a proxy has decoded `%2F` is refused with 404, because it may mean another document; name the
    document in the query instead.

    Once the request is answered, nobody sees the document, and entries of it that still wait are not classified. An
    unknown name is erased too: if such a document waits, it will not be stored. Entries, events and texts in reports
    are removed within a minute. What is sent later under the same name is a new document.
    """
    return _erase(request.app, sure_names_in_path(request), token)


def _state(opened: Session, source: str, id: str) -> State:
    found = document_state(opened, source, id)
    if found is None:
        raise NotFoundError("the document is unknown or still waiting in its lane")
    return State.model_validate({"source": source, "id": id, **found.to_dict()})


def _erase(app: FastAPI, name: tuple[str, str], token: str) -> Erased:
    settings = app.state.settings
    stores = Stores(settings.postgres_url, app.state.queue.client, settings.streams)
    found = erase(stores, Chosen([name]), f"token:{token}", "source and id, HTTP")
    return Erased(documents=found.documents, reviews=found.reviews, dead_letters=found.dead_letters)


def _parse(app: FastAPI, raw: bytes) -> tuple[Lane, list[Document]]:
    body = parse_object(raw, {"documents", "lane"})
    given, items, most = body.get("lane", "live"), body.get("documents"), app.state.settings.max_request_documents
    if not isinstance(given, str):
        raise InvalidDocumentError(f"lane must be text, not {type(given).__name__}")
    if isinstance(items, list) and len(items) > most:
        raise HTTPException(413, f"The request has {len(items):,} documents; the limit is {most:,}.")
    return check_lane(given), parse_documents(items)


def _append(app: FastAPI, documents: Sequence[Document], lane: Lane) -> list[str]:
    entry_ids: list[str] = app.state.queue.append(documents, lane, durable=True, counted=True)
    return entry_ids


def _hashes(documents: Sequence[Document]) -> list[str]:
    """The hashes as the worker will compute them; also checks that ids and sources are valid."""
    return [content_hash(each.fields(index)["text"]) for index, each in enumerate(documents)]
