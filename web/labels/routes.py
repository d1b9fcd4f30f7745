"""Pages on labels: everyone reads guidelines and figures; leads add, describe, archive and merge labels."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from db.models import Label
from db.queries import belonging, label_examples, labels, merge_labels, new_labels, topics
from db.queries.new_labels import NewLabel
from db.session import session
from sortline.counted import counted
from sortline.errors import ConflictError, InvalidInputError, NotFoundError
from sortline.folding import fold
from sortline.label_meaning import HINT, says_nothing
from sortline.text import Text
from web.forms import Form, number
from web.guidelines import guideline_html, summary
from web.ids import AskedId, Id
from web.labels.figures import LATELY, figures
from web.once import SENT_BEFORE, sent_before
from web.render import page
from web.sessions import Lead, Person, PostedForm, Reviewer
from web.visible import visible

router = APIRouter(prefix="/labels", include_in_schema=False)

# A quoted cell of a spreadsheet; what a person puts into quotation marks has none of what needs them.
_CELL = re.compile(r'(?:(?<=\t)|^)"((?=[^"]*(?:\n|""))(?:[^"]|"")*)"(?=[\t\n]|$)', re.MULTILINE)
_BREAK = "\v"  # stands for a line break within a cell
_A_GLANCE = 10  # with at most this many labels, nobody needs a search


@router.get("")
def list_labels(request: Request, person: Reviewer, find: Text = "") -> HTMLResponse:
    """Shows all labels with their figures, or those found by name, and labels that reviewers proposed."""
    return _labels(request, person, find=find)


@router.post("")
def add(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Adds a label, perhaps with a guideline and examples."""
    label = NewLabel(form.get("name", ""), form.get("guideline", ""), form.get("examples", "").splitlines())
    return _add(request, person, form, [label], "one")


@router.post("/list")
def add_list(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Adds a pasted list of labels, all or none."""
    return _add(request, person, form, _pasted(form.get("names", "")), "list")


@router.get("/{id}")
def show(request: Request, person: Reviewer, id: Id) -> HTMLResponse:
    """Shows one label: its guideline, and what a lead may change."""
    return _label(request, person, id)


@router.post("/{id}")
def describe(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Sets the guideline, and whether the label is sensitive."""
    given = form.get("description", "")

    def change(opened: Session) -> str:
        labels.describe(opened, id, given, "sensitive" in form, person.actor, form.get("seen"))
        return "The guideline is saved. The desk shows it the next time somebody presses ?."

    return _change(request, person, form, id, change, given=given)


@router.post("/{id}/examples")
def add_example(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Adds an example text to the label."""
    given = form.get("example", "")

    def change(opened: Session) -> str:
        if not given.strip():
            raise InvalidInputError("the example is empty")
        added = label_examples.add(opened, id, [given], person.actor)
        return "The example is added." if added else "The label has that example already."

    return _change(request, person, form, id, change, new_example=given)


@router.post("/{id}/examples/{example}/remove")
def remove_example(request: Request, person: Lead, form: PostedForm, id: Id, example: Id) -> HTMLResponse:
    """Removes an example text for good."""

    def change(opened: Session) -> str:
        label_examples.remove(opened, id, [example], person.actor)
        return "The example is removed."

    return _change(request, person, form, id, change)


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

    def change(opened: Session) -> str:
        done = merge_labels.merge(opened, id, into, person.actor)
        return f"Decisions for {done.label} now count as {done.into}. {_events(done.events)}"

    return _change(request, person, form, id, change)


@router.post("/{id}/undo-merge")
def undo_merge(request: Request, person: Lead, form: PostedForm, id: Id) -> HTMLResponse:
    """Undoes a merge: the label is back with its own decisions."""

    def change(opened: Session) -> str:
        done = merge_labels.undo_merge(opened, id, person.actor)
        return f"The label is in use again, with the decisions made for it. {_events(done.events)}"

    return _change(request, person, form, id, change)


def _add(request: Request, person: Person, form: Form, given: list[NewLabel], where: str) -> HTMLResponse:
    """Adds labels, all or none; a refused form keeps its values.

    Args:
        where: the form: one (label) or list.
    """
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _labels(request, person, said=SENT_BEFORE)
            made = new_labels.plan(opened, given, "anyway" in form)
            alike = any(each.alike for each in made.refused)
            if where == "one" and made.there:
                raise ConflictError(f"there is a label {made.there[0]} already; it is in use")
            new_labels.check(made)
            added = new_labels.add(opened, made.new, person.actor)
            opened.commit()
    except (ConflictError, InvalidInputError) as error:
        return _labels(request, person, wrong=error, given=form, alike=where if alike else "")
    unclear = [each.name for each in made.new if says_nothing(each.name) and not (each.guideline or each.examples)]
    return _labels(request, person, said=_added(added, made.there), unclear_added=unclear)


def _pasted(names: str) -> list[NewLabel]:
    """The labels of a pasted list, a line each, with the guideline after a tab.

    Spreadsheets put a cell that has line breaks, tabs or quotation marks into quotation marks, and double those in it.
    """
    lines = _CELL.sub(lambda found: found[1].replace("\n", _BREAK).replace('""', '"'), "\n".join(names.splitlines()))
    cells = (line.partition("\t") for line in lines.split("\n") if line.strip())
    return [NewLabel(name, guideline.replace(_BREAK, "\n")) for name, _, guideline in cells]


def _added(added: Sequence[Label], there: Sequence[str]) -> str:
    already = f" {counted(len(there), 'label')} of the list {'is' if len(there) == 1 else 'are'} in use already."
    if not added:
        return f"Nothing is added.{already if there else ''}"
    which = f"The label {added[0].name} is" if len(added) == 1 else f"{len(added):,} labels are"
    offered = "it" if len(added) == 1 else "them"
    said = f"{which} added.{already if there else ''}"
    return f"{said} A desk that is already open offers {offered} from its next document on."


def _set_archived(request: Request, person: Person, form: Form, id: int, archived: bool) -> HTMLResponse:
    def change(opened: Session) -> str:
        labels.set_archived(opened, id, archived, person.actor)
        if archived:
            return "The label is archived: nobody can choose it, and its decisions are not used for training."
        return "The label is in use again."

    return _change(request, person, form, id, change)


def _change(
    request: Request, person: Person, form: Form, id: int, change: Callable[[Session], str], **kept: str
) -> HTMLResponse:
    """Changes a label, once for each form, and shows it with what was done; a refused form keeps its values.

    Args:
        change: does it, and returns what to say.
        kept: the form's values, as `_label` takes them.
    """
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _label(request, person, id, said=SENT_BEFORE)
            said = change(opened)
            opened.commit()
    except (ConflictError, InvalidInputError, NotFoundError) as error:
        return _label(request, person, id, wrong=error, **kept)
    return _label(request, person, id, said=said)


def _events(count: int) -> str:
    return f"Other systems get an event for {count:,} document{'s' if count != 1 else ''}."


def _status(wrong: Exception | None) -> int:
    return 200 if wrong is None else 422 if isinstance(wrong, InvalidInputError) else 409


def _labels(
    request: Request,
    person: Person,
    said: str = "",
    wrong: Exception | None = None,
    given: Mapping[str, str] = MappingProxyType({}),
    find: str = "",
    alike: str = "",
    unclear_added: Sequence[str] = (),
) -> HTMLResponse:
    """The page of all labels.

    Args:
        given: the form that was refused.
        alike: the form whose labels look like others: one, list, or empty.
        unclear_added: labels just added whose names say nothing.
    """
    words = fold(find).split()
    with session(request.app.state.settings.postgres_url) as opened:
        rows = labels.listing(opened)
        shown = [row for row in rows if all(word in fold(row.name) for word in words)]
        found, proposed = figures(opened), labels.proposed(opened)
        topic_of = {name: topic for topic, names in topics.proposed(opened).items() for name in names}
        examples = label_examples.counts(opened)
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
        topic_of=topic_of,
        lately=LATELY,
        said=said,
        wrong=wrong,
        given=given,
        alike=alike,
        examples=examples,
        unclear={row.id for row in shown if is_unclear(row, row.id in examples)},
        unclear_added=unclear_added,
        hint=HINT,
        summary=summary,
        most=labels.MOST_DESCRIPTION,
    )


def is_unclear(label: Label, has_examples: bool) -> bool:
    """Whether nothing says what belongs to a label in use: neither name nor guideline nor examples."""
    return label.archived_at is None and says_nothing(label.name) and not (label.description or has_examples)


def _label(
    request: Request,
    person: Person,
    id: int,
    said: str = "",
    wrong: Exception | None = None,
    given: str | None = None,
    new_example: str = "",
) -> HTMLResponse:
    with session(request.app.state.settings.postgres_url) as opened:
        label = labels.get(opened, id)
        rows = labels.listing(opened)
        use = figures(opened)[id]
        examples = label_examples.of_label(opened, id)
        unknown = label.archived_at is None and belonging.is_unknown(opened, id)
    return page(
        "label.html",
        _status(wrong),
        person=person,
        label=label,
        description=label.description if given is None else given,
        seen=labels.fingerprint(label),
        most=labels.MOST_DESCRIPTION,
        most_example=label_examples.MOST_CHARS,
        new_example=new_example,
        examples=examples,
        unclear=is_unclear(label, bool(examples)),
        hint=HINT,
        guideline_html=guideline_html,
        visible=visible,
        others=[row for row in rows if row.archived_at is None and row.id != id],
        into=next((row for row in rows if row.id == label.merged_into_id), None),
        merged=[row for row in rows if row.merged_into_id == id],
        use=use,
        unknown=unknown,
        lately=LATELY,
        said=said,
        wrong=wrong,
    )
