"""The route that gives the documents which are like one."""

from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.datastructures import State
from starlette.responses import JSONResponse

from db.models import Document
from db.queries import document_search, embeddings, likeness
from db.queries.document_state import document_id
from db.session import session
from sortline.errors import ConflictError, NotFoundError
from sortline.text import Text
from web.api.documents import get_document
from web.api.names import Id, Source, checked, names_in_path
from web.api.reference import problems
from web.api.tokens import Documents
from web.problems import RETRY_AFTER_S
from web.worker_vectors import TextVector, vector_of_text

router = APIRouter(prefix="/v1/documents", tags=["documents"])

_MOST = 100
_LIKE = 20
_AFTER = "/similar"
_Limit = Annotated[int, Query(ge=1, le=_MOST, description="How many documents at most.")]


class Similar(BaseModel):
    """A document that is like the one asked for.

    `likeness` is the cosine of the angle between the two vectors: 1 is the same direction. `label`, `confidence`,
    `decision` and `fit` are the model's; `decided` is the label that people gave, null if nobody has decided or none
    fits, and `action` says which: confirm, correct or none_fits, null if nobody has decided.
    """

    source: str
    id: str
    likeness: float
    label: str | None
    confidence: float | None
    decision: str | None
    fit: float | None
    action: str | None
    decided: str | None


class Similars(BaseModel):
    """Documents that are alike, the likest first."""

    results: list[Similar]


_PROBLEMS: dict[int | str, dict[str, Any]] = problems(401, 403, 404, 409, 422, 503)


@router.get("/similar", response_model=Similars, responses=_PROBLEMS)
def get_similar_by_query(
    request: Request, _token: Documents, source: Source, id: Id, limit: _Limit = _LIKE
) -> Similars:
    """The documents that are most like one, as `GET /v1/documents/{source}/{id}/similar` gives them."""
    with session(request.app.state.settings.postgres_url) as opened:
        found = _looked_up(opened, checked(source, id))
    return _similar(request.app.state, found, limit)


@router.get("/{source:anything}/{id:anything}/similar", response_model=Similars, responses=_PROBLEMS)
def get_similar(
    request: Request, token: Documents, source: Text, id: Text, limit: _Limit = _LIKE
) -> Similars | JSONResponse:
    """The documents that are most like one, the likest first. Percent-encode source and id.

    They are compared by the vectors of the present model; a worker computes the document's where none is kept. Left out
    are older texts of a document, and documents that wait for an independent decision, such as an audit. 409: no model
    is active. 503: no worker has answered. If Postgres lacks pgvector, only the newest 20,000 vectors are compared.
    """
    raw: bytes = request.scope["raw_path"]
    if not raw.endswith(_AFTER.encode()):  # the end of an id, %2Fsimilar
        state = get_document(request, token, source, f"{id}{_AFTER}")
        return JSONResponse(state.model_dump(exclude_unset=True))
    with session(request.app.state.settings.postgres_url) as opened:
        found = _looked_up(opened, names_in_path(request, opened, _AFTER))
    return _similar(request.app.state, found, limit)


class _Asked(NamedTuple):
    """A document, its text, and its vector if one is kept."""

    id: int
    text: str
    vector: TextVector | None


def _looked_up(opened: Session, name: tuple[str, str]) -> _Asked:
    found = document_id(opened, *name)
    document = None if found is None else opened.get(Document, found)
    if document is None:
        raise NotFoundError("the document is unknown or still waiting in its lane")
    encoder = embeddings.encoder_of_active(opened)
    if encoder is None:
        raise ConflictError(likeness.NO_VECTORS)
    vector = likeness.vector_of(opened, encoder, document.id)
    return _Asked(document.id, document.text, None if vector is None else TextVector(encoder, vector))


def _similar(state: State, asked: _Asked, limit: int) -> Similars:
    vector = asked.vector or vector_of_text(state, asked.text)
    if isinstance(vector, str):
        raise HTTPException(503, vector, {"Retry-After": str(RETRY_AFTER_S)})
    with session(state.settings.postgres_url) as opened:
        near = likeness.nearest(opened, *vector, limit, without=asked.id)
        rows = {row.id: row for row in document_search.rows(opened, [each.id for each in near], 0)}
    return Similars(results=[
        Similar(
            source=row.source, id=row.external_id, likeness=round(each.likeness, 4), label=row.predicted,
            confidence=row.confidence, decision=row.decision, fit=row.fit, action=row.action,
            decided=row.decided,
        )
        for each in near if (row := rows.get(each.id)) is not None
    ])  # fmt: skip
