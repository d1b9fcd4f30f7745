"""Topics: what is undecided, and what may be a new label, grouped by likeness.

Leads make a topic a label, give it to one, or put it aside.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Row

from db.models import Label
from db.queries import belonging, document_search, groupings, labels, new_labels, topics
from db.queries.groupings import NEW_LABEL, UNDECIDED, Kind
from db.queries.new_labels import NewLabel
from db.session import session
from sortline.errors import ConflictError, InvalidInputError
from sortline.folding import fold
from sortline.label_names import clean_label_name
from sortline.text import Text, whole_number
from web.documents.listed import in_order, listed
from web.documents.ticked import WAITS_S, label_id, preview, preview_in, ticked
from web.forms import Form
from web.ids import Id
from web.links import link
from web.once import sent_before
from web.render import page
from web.sessions import Lead, Person, PostedForm, Reviewer

router = APIRouter(prefix="/topics", include_in_schema=False)

_EXAMPLES = 3  # texts of each topic in the list
_A_PAGE = 50  # texts of one topic
_MOST = 10_000  # documents of one topic; a bulk decision takes the first of them
_SHOWN_CHARS = 140
_LIKEST_S = 5.0
_NAMING_WORDS = 3
_Kind = Annotated[Kind, Query(description="What is grouped: undecided, or new_label.")]


@router.get("")
def list_topics(request: Request, person: Reviewer, kind: _Kind = UNDECIDED) -> HTMLResponse:
    """Shows the topics of what is undecided, or with `kind=new_label` of what may be a new label, the largest first."""
    with session(request.app.state.settings.postgres_url) as opened:
        with document_search.within(opened, WAITS_S):
            found = topics.listing(opened, kind)
            typical = topics.typical(opened, [each.id for each in found], _EXAMPLES)
            proposed = topics.proposed(opened) if kind == NEW_LABEL else {}
        rows = in_order(opened, [id_ for ids in typical.values() for id_ in ids], _SHOWN_CHARS)
        return page(
            "topics.html", person=person, topics=found, typical=typical, by_id={row.id: row for row in rows},
            kind=kind, proposed=proposed, shown=groupings.shown(opened, kind), running=groupings.running(opened, kind),
            **listed(opened, rows, person.may("lead")),
        )  # fmt: skip


@router.post("/again")
def group_again(request: Request, _person: Reviewer, form: PostedForm) -> RedirectResponse:
    """Asks for the topics to be grouped again, once while that is running."""
    with session(request.app.state.settings.postgres_url) as opened:
        groupings.ask(opened)
        opened.commit()
    return RedirectResponse(_of_kind(NEW_LABEL if form.get("kind") == NEW_LABEL else UNDECIDED), 303)


@router.get("/{id}")
def show(request: Request, person: Reviewer, id: Id, ticks: Text = "") -> HTMLResponse:
    """Shows the most typical documents of a topic, to read and to tick."""
    return _topic(request, person, id, ticks)


@router.post("/{id}")
def decide(request: Request, person: Lead, form: PostedForm, id: Id) -> Response:
    """Prepares a preview of giving documents of the topic to a label; nothing is decided yet."""
    try:
        ids, given, new = _chosen(request, form, id), label_id(form.get("label", "")), _is_new_label(request, id)
        if new and given is None:
            raise InvalidInputError("Choose a label: what was predicted probably fits none of these documents.")
        return preview(request, person, ids, given, {"topic": str(id)}, new)
    except (ConflictError, InvalidInputError) as error:
        return _topic(request, person, id, wrong=error)


@router.post("/{id}/label")
def make_label(request: Request, person: Lead, form: PostedForm, id: Id) -> Response:
    """Adds a label for the topic and prepares a preview of giving it to its documents; nothing is decided yet.

    Of a topic of what may be a new label, those that were decided "none fits" get it too.
    """
    ids, alike = _chosen(request, form, id), False
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return RedirectResponse(link(f"/topics/{id}"), 303)
            made = new_labels.plan(
                opened, [NewLabel(form.get("name", ""), form.get("guideline", ""))], "anyway" in form
            )
            alike = any(each.alike for each in made.refused)
            if made.there:
                raise ConflictError(f"There is a label {made.there[0]} already; choose it from the list.")
            new_labels.check(made)
            [label] = new_labels.add(opened, made.new, person.actor)
            corrects = topics.get(opened, id).kind == NEW_LABEL
            bulk_id = preview_in(opened, person, ids, label.id, {"topic": str(id)}, corrects)
            opened.commit()
    except (ConflictError, InvalidInputError) as error:
        return _topic(request, person, id, wrong=error, given=form, alike=alike)
    return RedirectResponse(link(f"/documents/bulk/{bulk_id}"), 303)


@router.post("/{id}/aside")
def put_aside(request: Request, person: Lead, form: PostedForm, id: Id) -> RedirectResponse:
    """Puts a topic aside, or brings it back."""
    with session(request.app.state.settings.postgres_url) as opened:
        topics.put_aside(opened, id, "back" not in form, person.actor)
        kind = topics.get(opened, id).kind
        opened.commit()
    return RedirectResponse(_of_kind(kind), 303)


def _of_kind(kind: Kind) -> str:
    """The address of the list of topics of a kind."""
    return link("/topics" if kind == UNDECIDED else f"/topics?kind={kind}")


def _is_new_label(request: Request, topic_id: int) -> bool:
    with session(request.app.state.settings.postgres_url) as opened:
        return bool(topics.get(opened, topic_id).kind == NEW_LABEL)


def _chosen(request: Request, form: Form, topic_id: int) -> list[int]:
    """The ticked documents, or the whole topic without those that were shown and not ticked."""
    here = ticked(form)
    if form.get("which") != "all":
        return here
    shown = {whole_number(each, 2**63 - 1) for each in form.get("shown", "").split(",")}
    with session(request.app.state.settings.postgres_url) as opened:
        topics.get(opened, topic_id)
        found = topics.typical(opened, [topic_id], _MOST)[topic_id]
    return [each for each in found if each not in shown or each in here]


def _topic(
    request: Request, person: Person, topic_id: int, ticks: str = "", wrong: Exception | None = None,
    given: Form | None = None, alike: bool = False,
) -> HTMLResponse:  # fmt: skip
    """The page of a topic.

    Args:
        given: the form of a new label that was refused.
        alike: whether that label was refused because it looks like another.
    """
    with session(request.app.state.settings.postgres_url) as opened:
        topic = topics.get(opened, topic_id)
        ids, now = topics.typical(opened, [topic_id], _MOST)[topic_id], topics.count(opened, topic_id)
        proposed = topics.proposed(opened, [topic_id]).get(topic_id)
        rows = in_order(opened, ids[:_A_PAGE])
        values: dict[str, Any] = listed(opened, rows, person.may("lead"))
        known = labels.listing(opened)
    like = _likest_label(request, ids) if topic.kind == NEW_LABEL else None
    status = 200 if wrong is None else 422 if isinstance(wrong, InvalidInputError) else 409
    return page(
        "topic.html", status, person=person, topic=topic, count=len(ids), now=now, ticks=ticks,
        labels=[label for label in known if label.archived_at is None], suggested=_suggested(topic, proposed, known),
        wrong=wrong, given=given or {}, alike=alike, most=labels.MOST_DESCRIPTION,
        proposed=proposed.most_common() if proposed else [],
        like=next(((label, like[1]) for label in known if like and label.id == like[0]), None), **values,
    )  # fmt: skip


def _likest_label(request: Request, ids: Sequence[int]) -> tuple[int, int] | None:
    """The label that the model does not know and to which most of these documents may belong, and how many."""
    try:
        with session(request.app.state.settings.postgres_url) as opened, document_search.within(opened, _LIKEST_S):
            return belonging.likest_label(opened, ids)
    except InvalidInputError:  # it takes too long to tell
        return None


def _suggested(topic: Row[Any], proposed: Counter[str] | None, known: Sequence[Label]) -> str:
    """A name that the label for a topic may have: what reviewers proposed most often, else its most telling words.

    Of what waits, whose labels mostly exist, only proposals give one. Empty: a label has that name already.
    """
    if proposed:
        return proposed.most_common(1)[0][0]
    if topic.kind != NEW_LABEL:
        return ""
    with suppress(InvalidInputError):
        name = clean_label_name(" ".join(topic.words[:_NAMING_WORDS]))
        return "" if fold(name) in {fold(label.name) for label in known} else name
    return ""
