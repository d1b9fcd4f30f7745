"""The page on incidents: what happened, what it means and what to do; leads close what is settled."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from db.queries import drift, drift_checks, incidents, topics
from db.queries.sensitive import sensitive_documents
from db.session import session
from sortline.errors import ConflictError
from web.ids import Id
from web.once import SENT_BEFORE, sent_before
from web.render import page
from web.sessions import Lead, Person, PostedForm, Reviewer
from web.visible import visible

router = APIRouter(prefix="/incidents", include_in_schema=False)

_SHOWN = 10  # documents of an open incident
_CHARS = 300
_TOPICS = 3  # that hold its documents
_MOST_REASON = 1000


@router.get("")
def list_incidents(request: Request, person: Reviewer) -> HTMLResponse:
    """Lists the incidents, newest first."""
    return _incidents(request, person)


@router.post("/{id}/close")
def close(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Closes an incident; the audit log records who closed it and why."""
    because = form.get("because", "").strip()[:_MOST_REASON]
    if not because:
        return _incidents(request, person, wrong="Say why the incident is settled; the audit log keeps the reason.")
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _incidents(request, person, said=SENT_BEFORE)
            incidents.close(opened, id, person.actor, because)
            opened.commit()
    except ConflictError as error:
        return _incidents(request, person, wrong=str(error))
    return _incidents(
        request, person, said=f"Incident {id} is closed; the present traffic counts as normal from now on."
    )


def _incidents(request: Request, person: Person, said: str = "", wrong: str = "") -> HTMLResponse:
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        found = incidents.listing(opened)
        evidence = {each.id: each.evidence.get("document_ids", []) for each in found if each.closed_at is None}
        documents = {
            id_: [(each, visible(each.text[:_CHARS])) for each in drift.shown(opened, ids[:_SHOWN])]
            for id_, ids in evidence.items()
        }
        blurred = sensitive_documents(opened, [each.document_id for rows in documents.values() for each, _ in rows])
        waiting = {id_: drift.still_waiting(opened, ids) for id_, ids in evidence.items()}
        alike = {id_: topics.holding(opened, ids)[:_TOPICS] for id_, ids in evidence.items()}
        runs, looked = incidents.trainings(opened), drift_checks.last(opened)
    return page(
        "incidents.html",
        409 if wrong else 200,
        person=person,
        incidents=found,
        documents=documents,
        sensitive=blurred,
        waiting=waiting,
        alike=alike,
        trains=settings.drift_trains,
        looks=settings.drift_false_alarms > 0,
        look=looked[0] if looked else None,
        runs=runs,
        said=said,
        wrong=wrong,
    )
