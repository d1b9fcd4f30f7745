"""Documents that a person ticked in a list, to decide them together: the preview is that of any bulk decision."""

from collections.abc import Mapping, Sequence

from fastapi import Request
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from db.queries import bulk_decisions, document_search
from db.session import session
from sortline.errors import InvalidInputError
from sortline.text import whole_number
from web.forms import Form
from web.links import link
from web.sessions import Person

WAITS_S = 30.0  # for many documents, which others may be deciding
_TICK = "tick-"  # before the id of a document, in the name of its field


def ticked(form: Form) -> list[int]:
    """The ids of the documents that a form names, in its order."""
    found = (whole_number(name.removeprefix(_TICK), 2**63 - 1) for name in form if name.startswith(_TICK))
    return [each for each in found if each]


def preview(
    request: Request, person: Person, ids: Sequence[int], label_id: int | None, asked: Mapping[str, str],
    corrects_none_fits: bool = False,
) -> RedirectResponse:  # fmt: skip
    """Store a preview of what would be decided, and go to its page; nothing is decided yet.

    Args:
        label_id: as in `bulk_decisions.preview`; ``corrects_none_fits``: as in `bulk_decisions.preview_of`.
        asked: which list it was, by `found_by`.

    Raises:
        InvalidInputError: nothing is ticked, there is no such label, or it took too long.
        ConflictError: the label was archived.
    """
    with session(request.app.state.settings.postgres_url) as opened:
        bulk_id = preview_in(opened, person, ids, label_id, asked, corrects_none_fits)
        opened.commit()
    return RedirectResponse(link(f"/documents/bulk/{bulk_id}"), 303)


def preview_in(
    opened: Session, person: Person, ids: Sequence[int], label_id: int | None, asked: Mapping[str, str],
    corrects_none_fits: bool = False,
) -> int:  # fmt: skip
    """The same in a transaction of the caller, who commits; returns the bulk decision's id."""
    if not ids:
        raise InvalidInputError("Tick at least one document.")
    with document_search.within(opened, WAITS_S):
        return bulk_decisions.preview_of(opened, ids, label_id, person.id, asked, corrects_none_fits).id


def label_id(given: str) -> int | None:
    """The label that a form names by its id; None: to each document what was predicted.

    Raises:
        InvalidInputError: it is no id.
    """
    if not given:
        return None
    found = whole_number(given, 2**31 - 1)
    if found is None:
        raise InvalidInputError("There is no such label.")
    return found


def found_by(asked: Mapping[str, str], query: str) -> tuple[str, str]:
    """The path of the page that found the documents of a bulk decision, and what to call it.

    Args:
        asked: ``{"like": ID}``, ``{"topic": ID}``, ``{"may_belong_to": ID}``, or the filters of a search.
        query: the same as a query string.
    """
    like, topic, label = (whole_number(asked.get(name, ""), 2**63 - 1) for name in ("like", "topic", "may_belong_to"))
    if "like" in asked:
        return (f"/documents/{like}/like", "The document that they are like") if like else ("/like", "Like a text")
    if topic:
        return f"/topics/{topic}", "The topic that they were in"
    if label:
        return f"/labels/{label}/belonging", "What else may belong to the label"
    return (f"/documents?{query}" if query else "/documents"), "The search that found them"
