"""Pages on labels: everyone reads guidelines and figures; leads add, describe, archive and merge labels."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from db.queries import labels, merge_labels
from db.session import session
from sortline.errors import ConflictError, InvalidInputError, NotFoundError
from sortline.folding import fold
from sortline.text import Text
from web.forms import Form, number
from web.ids import AskedId, Id
from web.labels.figures import LATELY, figures
from web.once import SENT_BEFORE, sent_before
from web.render import page
from web.sessions import Lead, Person, PostedForm, Reviewer

router = APIRouter(prefix="/labels", include_in_schema=False)

_A_GLANCE = 10  # with at most this many labels, nobody needs a search
_SAID = {
    "described": "The guideline is saved. A desk that is already open shows it after a reload.",
    "archived": "The label is archived: nobody can choose it, and its decisions are not used for training.",
    "back": "The label is in use again.",
}


@router.get("")
def list_labels(request: Request, person: Reviewer, find: Text = "") -> HTMLResponse:
    """Shows all labels with their figures, or those found by name, and labels that reviewers proposed."""
    return _labels(request, person, find=find)


@router.post("")
def add(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Adds a label."""
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _labels(request, person, said=SENT_BEFORE)
            label = labels.add(opened, form.get("name", ""), person.actor)
            opened.commit()
    except (ConflictError, InvalidInputError) as error:
        return _labels(request, person, wrong=error, name=form.get("name", ""))
    return _labels(
        request, person, said=f"The label {label.name} is added. A desk that is already open offers it after a reload."
    )


@router.get("/{id}")
def show(request: Request, person: Reviewer, id: Id) -> HTMLResponse:
    """Shows one label: its guideline, and what a lead may change."""
    return _label(request, person, id)


@router.post("/{id}")
def describe(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Sets the guideline, and whether the label is sensitive."""
    given = form.get("description", "")
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _label(request, person, id, said=SENT_BEFORE)
            labels.describe(opened, id, given, "sensitive" in form, person.actor, form.get("seen"))
            opened.commit()
    except (ConflictError, InvalidInputError) as error:
        return _label(request, person, id, wrong=error, given=given)
    return _label(request, person, id, said=_SAID["described"])


@router.post("/{id}/archive")
def archive(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Archives a label."""
    return _set_archived(request, person, form, id, True)


@router.post("/{id}/bring-back")
def bring_back(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Puts an archived label back in use."""
    return _set_archived(request, person, form, id, False)


@router.get("/{id}/merge")
def preview_merge(request: Request, person: Lead, id: Id, into: AskedId) -> HTMLResponse:
    """Shows what a merge would do, before it is done."""
    with session(request.app.state.settings.postgres_url) as opened:
        label, target = labels.get(opened, id), labels.get(opened, into)
        if label is target or label.archived_at or target.archived_at:
            raise HTTPException(409, "Only two different labels that are in use can be merged.")
        found = figures(opened)
    return page("merge_label.html", person=person, label=label, target=target, use=found[id])


@router.post("/{id}/merge")
def merge(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Makes a label's decisions count as another's; a second click changes nothing."""
    into = number(form, "into", "The form does not say which label to merge it into.")
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _label(request, person, id, said=SENT_BEFORE)
            done = merge_labels.merge(opened, id, into, person.actor)
            opened.commit()
    except (ConflictError, NotFoundError) as error:
        return _label(request, person, id, wrong=error)
    said = f"Decisions for {done.label} now count as {done.into}. {_events(done.events)}"
    return _label(request, person, id, said=said)


@router.post("/{id}/undo-merge")
def undo_merge(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Undoes a merge: the label is back with its own decisions."""
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _label(request, person, id, said=SENT_BEFORE)
            done = merge_labels.undo_merge(opened, id, person.actor)
            opened.commit()
    except ConflictError as error:
        return _label(request, person, id, wrong=error)
    said = f"The label is in use again, with the decisions made for it. {_events(done.events)}"
    return _label(request, person, id, said=said)


def _set_archived(request: Request, person: Person, form: Form, id: int, archived: bool) -> HTMLResponse:
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _label(request, person, id, said=SENT_BEFORE)
            labels.set_archived(opened, id, archived, person.actor)
            opened.commit()
    except ConflictError as error:
        return _label(request, person, id, wrong=error)
    return _label(request, person, id, said=_SAID["archived" if archived else "back"])


def _events(count: int) -> str:
    return f"Other systems get an event for {count:,} document{'s' if count != 1 else ''}."


def _status(wrong: Exception | None) -> int:
    return 200 if wrong is None else 422 if isinstance(wrong, InvalidInputError) else 409


def _labels(
    request: Request, person: Person, said: str = "", wrong: Exception | None = None, name: str = "", find: str = ""
) -> HTMLResponse:
    words = fold(find).split()
    with session(request.app.state.settings.postgres_url) as opened:
        rows = labels.listing(opened)
        shown = [row for row in rows if all(word in fold(row.name) for word in words)]
        found, proposed = figures(opened), labels.proposed(opened)
    return page(
        "labels.html",
        _status(wrong),
        person=person,
        in_use=[row for row in shown if row.archived_at is None],
        archived=[row for row in shown if row.archived_at is not None],
        find=find,
        many=len(rows) > _A_GLANCE,
        names={row.id: row.name for row in rows},
        figures=found,
        proposed=proposed,
        lately=LATELY,
        said=said,
        wrong=wrong,
        new_name=name,
    )


def _label(
    request: Request, person: Person, id: int, said: str = "", wrong: Exception | None = None, given: str | None = None
) -> HTMLResponse:
    with session(request.app.state.settings.postgres_url) as opened:
        label = labels.get(opened, id)
        rows = labels.listing(opened)
        use = figures(opened)[id]
    return page(
        "label.html",
        _status(wrong),
        person=person,
        label=label,
        description=label.description if given is None else given,
        seen=labels.fingerprint(label),
        most=labels.MOST_DESCRIPTION,
        others=[row for row in rows if row.archived_at is None and row.id != id],
        into=next((row for row in rows if row.id == label.merged_into_id), None),
        merged=[row for row in rows if row.merged_into_id == id],
        use=use,
        lately=LATELY,
        said=said,
        wrong=wrong,
    )
