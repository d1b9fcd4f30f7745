"""What may belong to a label that the model does not know yet: leads give it to what they tick."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from db.models import Label
from db.queries import belonging, document_search, embeddings, labels, likeness, model_versions
from db.session import session
from sortline.errors import ConflictError, InvalidInputError
from sortline.text import Text
from web.documents.listed import in_order, listed
from web.documents.ticked import WAITS_S, preview, ticked
from web.ids import Id
from web.render import page
from web.sessions import Lead, Person, PostedForm, Reviewer

router = APIRouter(prefix="/labels", include_in_schema=False)

MOST = 50


@router.get("/{id}/belonging")
def show(request: Request, person: Reviewer, id: Id, ticks: Text = "") -> HTMLResponse:
    """Shows the documents that are likest to a label that the model does not know yet, to read and to tick."""
    return _page(request, person, id, ticks)


@router.post("/{id}/belonging")
def decide(request: Request, person: Lead, form: PostedForm, id: Id) -> Response:
    """Prepares a preview of giving the label to the ticked documents; nothing is decided yet."""
    try:
        return preview(request, person, ticked(form), id, {"may_belong_to": str(id)}, corrects_none_fits=True)
    except (ConflictError, InvalidInputError) as error:
        return _page(request, person, id, wrong=error)


def _page(
    request: Request, person: Person, label_id: int, ticks: str = "", wrong: Exception | None = None
) -> HTMLResponse:  # fmt: skip
    with session(request.app.state.settings.postgres_url) as opened:
        label, active = labels.get(opened, label_id), model_versions.active(opened)
        missing = _missing(label, active.label_ids if active else None)
        found = belonging.Found([], 0, 0)
        if not missing:
            with document_search.within(opened, WAITS_S):
                found = belonging.may_belong(opened, label_id)
            missing = "" if found.own else _NO_VECTORS if embeddings.encoder_of_active(opened) else likeness.NO_VECTORS
        shown = found.documents[:MOST]
        values: dict[str, Any] = listed(opened, in_order(opened, [each.id for each in shown]), person.may("lead"))
    status = 200 if wrong is None else 422 if isinstance(wrong, InvalidInputError) else 409
    return page(
        "belonging.html", status, person=person, label=label, found=found, missing=missing, ticks=ticks, wrong=wrong,
        belongs={each.id: each for each in shown}, **values,
    )  # fmt: skip


_NO_VECTORS = "No document of this label has a vector by the present model: give it to some first."


def _missing(label: Label, known: list[int] | None) -> str:
    """Why nothing is compared; empty: it is."""
    if label.archived_at is not None:
        return "The label is not in use."
    if known is None:
        return likeness.NO_VECTORS
    if label.id in known:
        return "The model knows this label: search for what it predicts as it."
    return ""
