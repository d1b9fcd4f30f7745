"""What is like a document or a pasted text: people read it, and leads decide the ticked ones together."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.orm import Session

from classifier.words import words
from db.queries import embeddings, labels, likeness
from db.queries.document_history import history
from db.queries.likeness import Near
from db.queries.sensitive import sensitive_documents
from db.session import session
from sortline.text import Text
from web.documents.listed import in_order, listed
from web.documents.ticked import label_id, preview, ticked
from web.documents.timeline import is_hidden
from web.ids import BigId
from web.render import page
from web.sessions import Lead, Person, PostedForm, Reviewer
from web.visible import visible
from web.worker_vectors import TextVector, vector_of_text

router = APIRouter(include_in_schema=False)

MOST = 50
_WORDS = 8  # of a text, to search for instead
_READ = 300  # characters of it
_MOST_CHARS = 100_000  # of a pasted text
_CHARS = 1_000  # of it, shown


@router.get("/documents/{id}/like")
def like(request: Request, person: Reviewer, id: BigId, ticks: Text = "") -> HTMLResponse:
    """Shows the documents that are most like one, to read and to tick."""
    state = request.app.state
    with session(state.settings.postgres_url) as opened:
        found = history(opened, id)
        encoder = embeddings.encoder_of_active(opened)
        stored = likeness.vector_of(opened, encoder, id) if encoder else None
    document, hidden = found.document, is_hidden(found.item.reason if found.item else None, person.may("lead"))
    vector: TextVector | str = likeness.NO_VECTORS
    if encoder and stored is not None:
        vector = TextVector(encoder, stored)
    elif encoder and not hidden:
        vector = vector_of_text(state, document.text)
    with session(state.settings.postgres_url) as opened:
        near: list[Near] = []
        if not isinstance(vector, str) and not hidden:
            near = likeness.nearest(opened, *vector, MOST, without=id)
        return _page(
            opened, person, near, document=document, waits=hidden, ticks=ticks,
            blurred=id in sensitive_documents(opened, [id]),
            words=" or ".join(_words(document.text)),
            missing=vector if isinstance(vector, str) else "",
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
        wrong = f"Paste a text of at most {_MOST_CHARS:,} characters."
        return page("paste.html", 422, person=person, wrong=wrong, text=pasted_text)
    found = vector_of_text(request.app.state, pasted_text)
    if isinstance(found, str):
        return page("paste.html", 503, person=person, wrong=found, text=pasted_text)
    with session(settings.postgres_url) as opened:
        near = likeness.nearest(opened, *found, MOST)
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
