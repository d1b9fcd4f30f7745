"""Pages on dead letters: everyone may look, leads requeue them."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from db.queries import dead_letters
from db.queries.sensitive import is_sensitive_letter
from db.session import session
from sortline.errors import ServerUnreachableError
from sortline.queue import unpack_entry
from sortline.text import Text
from web.forms import number
from web.ids import AskedBigId, BigId
from web.once import SENT_BEFORE, sent_before
from web.render import page
from web.sessions import Lead, Person, PostedForm, Reviewer
from web.visible import visible
from worker.requeue import requeue

router = APIRouter(prefix="/dead-letters", include_in_schema=False)

_PAGE = 50
_SHOWN = 20_000  # characters of a field
_MOST_S = 10.0  # for requeuing, before the page answers
_WHICH = "The form does not say which dead letter to requeue."
_AWAY = "Redis can't be reached, so the dead letters listed here were not requeued. Try again when it is back."


@router.get("")
def list_letters(
    request: Request, person: Reviewer, reason: Text = "", before: AskedBigId | None = None
) -> HTMLResponse:
    """Lists the dead letters that were not requeued, newest first."""
    return _letters(request, person, reason, before)


@router.post("/requeue")
def send_again(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Requeues one dead letter, or all with a reason (all, if it is empty); a second click sends nothing twice."""
    reason = form.get("reason", "")
    ids = [number(form, "id", _WHICH, most=2**63 - 1)] if form.get("id") else None
    state = request.app.state
    try:
        with session(state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _letters(request, person, reason, said=SENT_BEFORE)
            done = requeue(opened, state.queue, person.actor, reason or None, ids, _MOST_S)
    except ServerUnreachableError:
        return _letters(request, person, reason, wrong=_AWAY)
    if ids:
        said = f"Dead letter {ids[0]} is requeued." if done else f"Dead letter {ids[0]} had been requeued before."
    else:
        said = f"{done:,} dead letter{' is' if done == 1 else 's are'} requeued."
    return _letters(request, person, reason, said=said)


@router.get("/{id}")
def show(request: Request, person: Reviewer, id: BigId) -> HTMLResponse:
    """Shows one dead letter, as it was sent."""
    with session(request.app.state.settings.postgres_url) as opened:
        letter = dead_letters.get(opened, id)
        blurred = is_sensitive_letter(opened, id)
    fields = [_field(name, value) for name, value in unpack_entry(letter.raw)]
    return page("dead_letter.html", person=person, letter=letter, fields=fields, shown=_SHOWN, blurred=blurred)


def _field(name: bytes, value: bytes) -> dict[str, object]:
    """A field as text; bytes that are not UTF-8 are replaced, and the page says so."""
    text = value.decode("utf-8", "replace")
    return {
        "name": visible(name.decode("utf-8", "replace")[:200]), "text": visible(text[:_SHOWN]), "bytes": len(value),
        "cut": len(text) > _SHOWN, "broken": "\ufffd" in text,
    }  # fmt: skip


def _letters(
    request: Request, person: Person, reason: str = "", before: int | None = None, said: str = "", wrong: str = ""
) -> HTMLResponse:
    with session(request.app.state.settings.postgres_url) as opened:
        found = dead_letters.listing(opened, reason or None, _PAGE + 1, before)
        counts = dead_letters.reasons(opened)
    return page(
        "dead_letters.html",
        503 if wrong else 200,
        person=person,
        letters=found[:_PAGE],
        following=found[_PAGE - 1].id if len(found) > _PAGE else None,
        counts=counts,
        reason=reason,
        waiting=counts.get(reason, 0) if reason else sum(counts.values()),
        first=before is None,
        visible=visible,
        said=said,
        wrong=wrong,
    )
