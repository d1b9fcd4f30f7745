"""Why a label was predicted: for the document in front of a reviewer, and over a label's documents."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from db.queries import explanations, labels, model_versions, queue_items
from db.queries.explanations import Key
from db.queries.queue_items import Leased
from db.queries.sensitive import sensitive_labels
from db.session import session
from sortline.errors import ConflictError, NotFoundError
from web.explanations.explained import heaviest_words, label_words, parts
from web.guidelines import guideline_html
from web.ids import Id, SentBigId
from web.links import link
from web.render import html, page
from web.sessions import Person, PostedForm, Reviewer, Scripted
from web.worker_tasks import send_to_worker

router = APIRouter(include_in_schema=False)

_AGAIN_S = 15.0  # after which an explanation that no worker took, or that failed, is requested again
_LOST_S = 90.0
_SAMPLE = 50
_MOST_DOCUMENTS = 200
_CHARS = 20_000  # of each text: a few texts of a megabyte would fill the memory
_MOST_WORDS = 25


class Wanted(BaseModel):
    """A document in front of the reviewer, by its lease, and the label to explain."""

    model_config = ConfigDict(extra="forbid")

    document_id: SentBigId
    token: SentBigId
    label_id: Annotated[int, Field(ge=0, le=2**31 - 1)]


@router.post("/desk/explanation")
def explain(request: Request, person: Scripted, wanted: Wanted) -> JSONResponse:
    """Returns the explanation as HTML in JSON, or its state; the first request has a worker compute it."""
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        leased = _leased(opened, person, wanted)
        assert leased.shown is not None
        answered, revision = leased.shown.get("form"), int(leased.shown.get("revision", 0))
        form = explanations.explained_form(answered)
        key = Key(wanted.document_id, int(leased.shown["model_version_id"]), wanted.label_id, form, revision)
        has_to_be_sent = explanations.ask(opened, key, _AGAIN_S, _LOST_S)
        found = explanations.get(opened, key)
        opened.commit()
    if has_to_be_sent:
        send_to_worker(settings.broker, "worker.explain", *key)
    if found is None:
        raise NotFoundError(f"document {key.document_id} is gone")
    if found.found is None:
        return JSONResponse({"state": found.state, "error": found.error})
    speaks_for, against = heaviest_words(leased.text, found.found)
    shown = html(
        "explained.html", person=person, parts=parts(leased.text, found.found["words"]),
        speaks_for=speaks_for, against=against, found=found.found, version_id=key.version_id, form=form,
        answered=answered, revision=revision,
    )  # fmt: skip
    return JSONResponse({"html": shown})


@router.get("/labels/{id}/words")
def words(request: Request, person: Reviewer, id: Id) -> HTMLResponse:
    """Shows the words that speak for and against a label, over many documents."""
    with session(request.app.state.settings.postgres_url) as opened:
        label, version = labels.get(opened, id), model_versions.active(opened)
        blurred = label.name in sensitive_labels(opened)
        explained, counts = [], {}
        if version is not None:
            explained = list(explanations.of_label(opened, version.id, id, _MOST_DOCUMENTS, _CHARS))
            counts = explanations.counts(opened, version.id, id)
    speaks_for, against = label_words(explained, _MOST_WORDS)
    errors = sorted(each.completeness_error for each in explained)
    return page(
        "label_words.html", person=person, label=label, guideline_html=guideline_html,
        blurred=blurred, version=version, documents=len(explained),
        counts=counts, speaks_for=speaks_for, against=against, sample=_SAMPLE,
        forms=Counter(each.form for each in explained),
        error=errors[len(errors) // 2] if errors else None,
        largest=max((abs(each.share) for each in (*speaks_for, *against)), default=1.0),
    )  # fmt: skip


@router.post("/labels/{id}/words")
def explain_label(request: Request, _person: Reviewer, _form: PostedForm, id: Id) -> Response:
    """Has a worker explain the label's newest documents; if asked twice, they are explained once."""
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        labels.get(opened, id)
        version = model_versions.active(opened)
        if version is None or id not in version.label_ids:
            raise ConflictError("the active model version does not know this label")
        explanations.ask_sample(opened, version.id, id, _SAMPLE, _LOST_S)
        opened.commit()
    send_to_worker(settings.broker, "worker.explain_waiting")
    return RedirectResponse(link(f"/labels/{id}/words"), 303)


def _leased(opened: Session, person: Person, wanted: Wanted) -> Leased:
    """The document in front of the reviewer; a hidden prediction is not explained, because that would reveal it."""
    found = queue_items.leased(opened, person.id, [wanted.document_id])
    leased = next((each for each in found if each.lease_token == wanted.token), None)
    if leased is None:
        raise ConflictError("you no longer have this document")
    if leased.shown is None:
        raise HTTPException(403, "The prediction is hidden or missing here, so there is nothing to explain.")
    if wanted.label_id not in (leased.label_ids or []):
        raise NotFoundError(f"the model that classified this document does not know label {wanted.label_id}")
    return leased
