"""What is like a document or a pasted text: people read it, and leads decide the ticked ones together."""

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.orm import Session

from classifier.words import words
from db.queries import embeddings, labels, likeness
from db.queries.document_history import history
from db.queries.likeness import Near
from db.queries.sensitive import sensitive_documents
from db.session import session
from sortline.pasted import Pasted
from sortline.text import Text
from web.documents.listed import in_order, listed
from web.documents.ticked import label_id, preview, ticked
from web.documents.timeline import is_hidden
from web.ids import BigId
from web.render import page
from web.sessions import Lead, Person, PostedForm, Reviewer
from web.visible import visible
from web.worker_tasks import send_to_worker

router = APIRouter(include_in_schema=False)

MOST = 50
_WORDS = 8  # of a text, to search for instead
_READ = 300  # characters of it
_MOST_CHARS = 100_000  # of a pasted text
_CHARS = 1_000  # of it, shown
_WAIT_S = 8


@router.get("/documents/{id}/like")
def like(request: Request, person: Reviewer, id: BigId, ticks: Text = "") -> HTMLResponse:
    """Shows the documents that are most like one, to read and to tick."""
    with session(request.app.state.settings.postgres_url) as opened:
        found = history(opened, id)
        document = found.document
        encoder = embeddings.encoder_of_active(opened)
        hidden = is_hidden(found.item.reason if found.item else None, person.may("lead"))
        vector = likeness.vector_of(opened, encoder, id) if encoder else None
        near: list[Near] = []
        if encoder and vector is not None and not hidden:
            near = likeness.nearest(opened, encoder, vector, MOST, without=id)
        return _page(
            opened, person, near, document=document, waits=hidden, ticks=ticks,
            blurred=id in sensitive_documents(opened, [id]),
            words=" or ".join(_words(document.text)),
            missing=likeness.why_none(opened, encoder, id) if vector is None else "",
        )  # fmt: skip


@router.get("/like")
def paste(person: Reviewer) -> HTMLResponse:
    """Shows a field for a text, to find what is like it."""
    return page("paste.html", person=person)


@router.post("/like")
def like_text(request: Request, person: Reviewer, form: PostedForm) -> HTMLResponse:
    """Shows the documents that are most like a pasted text; a worker computes its vector."""
    settings, pasted_text = request.app.state.settings, form.get("text", "").strip()
    if not pasted_text or len(pasted_text) > _MOST_CHARS:
        return page("paste.html", 422, person=person, wrong=f"Paste a text of at most {_MOST_CHARS:,} characters.")
    pasted = Pasted(request.app.state.queue.client, settings.prefix)
    token = pasted.put(pasted_text)
    send_to_worker(settings.broker, "worker.vector", token)
    found = pasted.wait(token, _WAIT_S) or {"missing": f"No worker has answered within {_WAIT_S} s; try again later."}
    if "missing" in found:
        return page("paste.html", 503, person=person, wrong=found["missing"], text=pasted_text)
    vector = np.array(found["vector"], np.float32)
    with session(settings.postgres_url) as opened:
        near = likeness.nearest(opened, (found["encoder_id"], len(vector)), vector, MOST)
        return _page(opened, person, near, document=None, text=pasted_text[:_CHARS])


@router.post("/like/decide")
def decide_like_text(request: Request, person: Lead, form: PostedForm) -> Response:
    """Prepares a preview of the ticked documents; nothing is decided yet."""
    return preview(request, person, ticked(form), label_id(form.get("label", "")), {"like": "a pasted text"})


@router.post("/documents/{id}/like")
def decide(request: Request, person: Lead, form: PostedForm, id: BigId) -> Response:
    """Prepares a preview of the ticked documents; nothing is decided yet."""
    return preview(request, person, ticked(form), label_id(form.get("label", "")), {"like": str(id)})


def _words(text: str) -> list[str]:
    """Its longest words, which tell most, to search for."""
    found = {text[first:last].casefold() for first, last in words(text[:_READ])}
    return sorted((each for each in found if each.isalnum()), key=lambda each: (-len(each), each))[:_WORDS]


def _page(opened: Session, person: Person, near: list[Near], **values: Any) -> HTMLResponse:
    likeness_of = {each.id: each.likeness for each in near}
    rows = in_order(opened, list(likeness_of))
    in_use = [label for label in labels.listing(opened) if label.archived_at is None]
    few = not embeddings.has_pgvector(opened)
    return page(
        "like.html", person=person, near=likeness_of, labels=in_use, newest=likeness.NEWEST if few else 0,
        **{"ticks": "", **listed(opened, rows, person.may("lead")), "visible": visible, **values},
    )  # fmt: skip
