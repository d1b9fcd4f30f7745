"""Pages on documents: reviewers find them and read the history of each; leads decide many at once."""

import json
import threading
from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from db.queries import (
    audit,
    belonging,
    bulk_decisions,
    decisions,
    document_search,
    erasure,
    labels,
    people,
    queue_items,
    search_behind,
)
from db.queries.document_history import history
from db.queries.document_search import Filters
from db.queries.document_state import document_id, document_state
from db.queries.sensitive import sensitive_documents
from db.session import session
from monitoring.alarms import time_in_words
from sortline.counted import counted as counted_noun
from sortline.errors import ConfigurationError, ConflictError, InvalidInputError, NotFoundError
from sortline.postgres_address import PostgresAddress
from sortline.text import Text
from trainer.fine_tuning.parameters import Parameters
from web.documents import ticked
from web.documents.download import Download
from web.documents.export import export
from web.documents.export_formats import FORMATS
from web.documents.filters import DECISION_REASONS, cursor_text, parse_cursor, parse_filters
from web.documents.listed import CHARS, listed
from web.documents.timeline import DECISIONS_WHY, is_hidden, timeline, why
from web.ids import BigId, Id
from web.links import link
from web.once import sent_before
from web.render import page
from web.sessions import Lead, Person, PostedForm, Reviewer
from web.visible import visible

router = APIRouter(prefix="/documents", include_in_schema=False)

_A_PAGE = 50
_COUNTED = 10_000
_SAMPLE = 20
_SEARCH_S, _COUNT_S = 5.0, 1.0
_EXPORTS = threading.BoundedSemaphore(2)  # each holds a connection while it is read


@router.get("")
def find(request: Request, person: Reviewer) -> HTMLResponse:
    """Shows the search form and the documents found."""
    return _found(request, person, dict(request.query_params))


@router.get("/of")
def find_by_name(request: Request, _person: Reviewer, source: Text = "", id: Text = "") -> Response:
    """Redirects to the newest text of a document, given its source and id."""
    with session(request.app.state.settings.postgres_url) as opened:
        found = document_id(opened, source, id)
        dead = document_state(opened, source, id) if found is None else None
    if found is None:
        said = f": it is a dead letter ({dead.decision})" if dead else ", or it still waits in its lane"
        raise HTTPException(404, f"There is no such document{said}.")
    return RedirectResponse(link(f"/documents/{found}"), 303)


@router.post("/export")
def export_(request: Request, person: Lead, form: PostedForm) -> Response:
    """Sends all documents found as a file, while they are read from the database."""
    asked, kind = dict(parse_qsl(form.get("query", ""))), form.get("format", "")
    pieces = _exported(request.app.state.settings.postgres_url, person, asked, kind)
    made = FORMATS.get(kind)
    try:
        if made is None:
            raise InvalidInputError(f"The format must be one of {', '.join(FORMATS)}.")
        name = f"sortline-{datetime.now(UTC):%Y-%m-%d-%H%M}{made.ending}"
        return Download(pieces, name, made.media_type)
    except (ConfigurationError, ConflictError, InvalidInputError) as error:
        return _found(request, person, asked, str(error))


@router.post("/bulk")
def preview_bulk(request: Request, person: Lead, form: PostedForm) -> Response:
    """Prepares a preview of what would be decided; nothing is decided yet."""
    asked = dict(parse_qsl(form.get("query", "")))
    try:
        filters = parse_filters(asked)
        label_id = ticked.label_id(form.get("label", ""))
        with session(request.app.state.settings.postgres_url) as opened:
            with document_search.within(opened, ticked.WAITS_S):
                bulk = bulk_decisions.preview(opened, filters, label_id, person.id, asked)
            opened.commit()
    except (ConflictError, InvalidInputError) as error:
        return _found(request, person, asked, str(error))
    return RedirectResponse(link(f"/documents/bulk/{bulk.id}"), 303)


@router.get("/bulk")
def list_bulks(request: Request, person: Lead) -> HTMLResponse:
    """Lists the decisions on many documents at once, newest first."""
    with session(request.app.state.settings.postgres_url) as opened:
        made = bulk_decisions.newest(opened, 100)
        names = {label.id: label.name for label in labels.listing(opened)}
    return page("bulk_decisions.html", person=person, made=made, labels=names)


@router.get("/bulk/{id}")
def show_bulk(request: Request, person: Lead, id: Id) -> HTMLResponse:
    """Shows the documents to decide at once, or the outcome."""
    return _bulk(request, person, id)


@router.post("/bulk/{id}/decide")
def decide(request: Request, person: Lead, _form: PostedForm, id: Id) -> Response:
    """Decides the documents of the preview; a second click changes nothing."""
    return _carry_out(request, person, id, bulk_decisions.decide)


@router.post("/bulk/{id}/undo")
def undo(request: Request, person: Lead, _form: PostedForm, id: Id) -> Response:
    """Takes all decisions back; a second click changes nothing."""
    return _carry_out(request, person, id, bulk_decisions.undo)


def _carry_out(
    request: Request, person: Person, id: int, change: Callable[[Session, int, int, str], object]
) -> Response:
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            with document_search.within(opened, ticked.WAITS_S):
                change(opened, id, person.id, person.actor)
            opened.commit()
    except (ConflictError, InvalidInputError) as error:
        return _bulk(request, person, id, str(error))
    return RedirectResponse(link(f"/documents/bulk/{id}"), 303)


@router.get("/{id}")
def show(request: Request, person: Reviewer, id: BigId) -> HTMLResponse:
    """Shows one document and its history."""
    with session(request.app.state.settings.postgres_url) as opened:
        found = history(opened, id)
        known = {label.id: label for label in labels.listing(opened)}
        sensitive = sensitive_documents(opened, [row.id for row in found.texts] + [id])
    lead = person.may("lead")
    hidden = is_hidden(found.item.reason if found.item else None, lead)
    names = {id_: label.name for id_, label in known.items()}
    meta = json.dumps(found.document.meta, indent=2, ensure_ascii=False) if found.document.meta else ""
    return page(
        "document.html", person=person, document=found.document, text=visible(found.document.text), meta=visible(meta),
        moments=timeline(found, names, hidden), hidden=hidden, labels=names, visible=visible, item=found.item,
        sensitive=sensitive,
        is_newest=found.texts[0].id == id, why=lambda reason: why(reason, lead), most=decisions.MOST_NOTE,
    )  # fmt: skip


@router.post("/{id}/flag")
def flag(request: Request, person: Lead, form: PostedForm, id: BigId) -> RedirectResponse:
    """Queues the document at the desk for somebody to look at."""
    note = form.get("note", "").strip()[: decisions.MOST_NOTE]
    with session(request.app.state.settings.postgres_url) as opened:
        if erasure.missing(opened, [id]):
            raise NotFoundError("there is no such document")
        if sent_before(request, opened, person, form):
            return RedirectResponse(link(f"/documents/{id}"), 303)
        queue_items.flag(opened, id, f"{person.name}: {note}" if note else f"flagged by {person.name}")
        audit.note(opened, person.actor, "document flagged", f"document:{id}")
        opened.commit()
    return RedirectResponse(link(f"/documents/{id}"), 303)


def _found(request: Request, person: Person, given: dict[str, str], wrong: str = "") -> HTMLResponse:
    """The page of a search; it says if a filter is invalid or the search is too slow, and the form keeps its values."""
    after = given.pop("after", "")
    asked = {name: value for name, value in given.items() if value.strip()}
    lead = person.may("lead")
    found, counted = document_search.Page([], None), None
    with session(request.app.state.settings.postgres_url) as opened:
        if not wrong:
            try:
                filters = parse_filters(given, blind=not lead)
                with document_search.within(opened, _SEARCH_S):
                    found = document_search.search(opened, filters, parse_cursor(after), _A_PAGE, CHARS)
                counted = _count(opened, filters)
            except InvalidInputError as error:
                wrong = str(error)
        known = labels.listing(opened)
        reviewers = [user.name for user in people.listing(opened)]
        values = listed(opened, found.rows, lead)
        behind = search_behind.behind(opened)
    following = urlencode({**asked, "after": cursor_text(found.after)}) if found.after else ""
    return page(
        "documents.html", 422 if wrong else 200, person=person, asked=asked, query=urlencode(asked),
        following=following, counted=counted, most=_COUNTED, wrong=wrong, first=not after, labels=known,
        reviewers=[*reviewers, "import"], reasons=_reasons(lead), states=document_search.STATES,
        most_at_once=bulk_decisions.MOST, formats=FORMATS, **values,
        missed=counted_noun(behind.documents, "document") if behind.seconds > search_behind.SAID_FROM_S else "",
        missed_for=time_in_words(behind.seconds),
    )  # fmt: skip


def _exported(postgres: PostgresAddress, person: Person, asked: Mapping[str, str], kind: str) -> Generator[bytes]:
    filters = parse_filters(asked)
    if not _EXPORTS.acquire(blocking=False):
        raise ConflictError("Two exports are already running; try again when one of them has ended.")
    try:
        with session(postgres) as opened:
            yield from export(opened, filters, kind, asked, person.actor)
    finally:
        _EXPORTS.release()


def _count(opened: Session, filters: Filters) -> int | None:
    """How many documents are found, up to a limit; None if counting takes too long, because the page must not wait."""
    try:
        with document_search.within(opened, _COUNT_S):
            return document_search.count(opened, filters, _COUNTED + 1)
    except InvalidInputError:
        return None


def _reasons(lead: bool) -> Mapping[str, str]:
    return {reason: DECISIONS_WHY[reason] for reason in DECISION_REASONS if lead or reason not in document_search.BLIND}


def _bulk(request: Request, person: Person, bulk_id: int, wrong: str = "") -> HTMLResponse:
    with session(request.app.state.settings.postgres_url) as opened:
        bulk = bulk_decisions.get(opened, bulk_id)
        every = max(1, len(bulk.document_ids) // _SAMPLE)
        sample = document_search.rows(opened, bulk.document_ids[::every][:_SAMPLE], CHARS)
        sensitive = sensitive_documents(opened, [row.id for row in sample])
        known = labels.listing(opened)
        users = {user.id: user.name for user in people.listing(opened)}
        decided = labels.decided_documents(opened, bulk.label_id) if bulk.label_id else 0
    names = {label.id: label.name for label in known}
    made = bulk.corrects_none_fits and bulk.decided_at is not None and bulk.undone_at is None
    more = _may_belong(request.app.state.settings.postgres_url, bulk.label_id) if made and bulk.label_id else None
    return page(
        "bulk.html", 409 if wrong else 200, person=person, bulk=bulk, sample=sample, users=users,
        wrong=wrong, visible=visible, most=bulk_decisions.MOST,
        found_by=ticked.found_by(bulk.filters, urlencode(bulk.filters)),
        label=names.get(bulk.label_id or 0), sensitive=sensitive, of_label=decided,
        min_examples=Parameters().min_examples, more=more,
    )  # fmt: skip


def _may_belong(postgres: PostgresAddress, label_id: int) -> int | None:
    """How many more documents may belong to a label; None: the model knows it, or it takes too long to tell."""
    try:
        with session(postgres) as opened, document_search.within(opened, _SEARCH_S):
            if not belonging.is_unknown(opened, label_id):
                return None
            return belonging.may_belong(opened, label_id).may_belong
    except InvalidInputError:
        return None
