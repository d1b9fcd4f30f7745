"""The route that gives the documents which are like one."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from db.queries import document_search, embeddings, likeness
from db.queries.document_state import document_id
from db.session import session
from sortline.errors import ConflictError, NotFoundError
from sortline.text import Text
from web.api.documents import get_document
from web.api.names import Id, Source, checked, names_in_path
from web.api.reference import problems
from web.api.tokens import Documents

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
        return _similar(opened, checked(source, id), limit)


@router.get("/{source:anything}/{id:anything}/similar", response_model=Similars, responses=_PROBLEMS)
def get_similar(
    request: Request, token: Documents, source: Text, id: Text, limit: _Limit = _LIKE
) -> Similars | JSONResponse:
    """The documents that are most like one, the likest first. Percent-encode source and id.

    They are compared by the vectors of the present model. Left out are older texts of a document, and documents that
    wait for an independent decision, such as an audit. 409: the document has no vector, and the problem says why. If
    Postgres lacks pgvector, only the newest 20,000 vectors are compared.
    """
    raw: bytes = request.scope["raw_path"]
    if not raw.endswith(_AFTER.encode()):  # the end of an id, %2Fsimilar
        state = get_document(request, token, source, f"{id}{_AFTER}")
        return JSONResponse(state.model_dump(exclude_unset=True))
    with session(request.app.state.settings.postgres_url) as opened:
        return _similar(opened, names_in_path(request, opened, _AFTER), limit)


def _similar(opened: Session, name: tuple[str, str], limit: int) -> Similars:
    found = document_id(opened, *name)
    if found is None:
        raise NotFoundError("the document is unknown or still waiting in its lane")
    encoder = embeddings.encoder_of_active(opened)
    vector = likeness.vector_of(opened, encoder, found) if encoder else None
    if encoder is None or vector is None:
        raise ConflictError(likeness.why_none(opened, encoder, found))
    near = likeness.nearest(opened, encoder, vector, limit, without=found)
    rows = {row.id: row for row in document_search.rows(opened, [each.id for each in near], 0)}
    return Similars(results=[
        Similar(
            source=row.source, id=row.external_id, likeness=round(each.likeness, 4), label=row.predicted,
            confidence=row.confidence, decision=row.decision, fit=row.fit, action=row.action,
            decided=row.decided,
        )
        for each in near if (row := rows.get(each.id)) is not None
    ])  # fmt: skip
