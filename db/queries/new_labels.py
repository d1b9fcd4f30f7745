"""Add labels, one or a list: names that look like others are refused unless somebody says that they differ."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Label
from db.queries import label_examples, labels
from sortline.errors import ConflictError, InvalidInputError
from sortline.files.label_folds import alike
from sortline.label_names import clean_label_name


class NewLabel(NamedTuple):
    """A label to add: its name as typed, guideline and example texts."""

    name: str
    guideline: str = ""
    examples: Sequence[str] = ()


class Refused(NamedTuple):
    """A label that can't be added, its place in the list (from 0), and why; ``alike``: only because of a likeness."""

    place: int
    name: str
    why: str
    alike: bool = False


class Plan(NamedTuple):
    """What would be added, with cleaned names; the names that are in use already; and what is refused."""

    new: list[NewLabel]
    there: list[str]
    refused: list[Refused]


def plan(session: Session, given: Sequence[NewLabel], anyway: bool = False) -> Plan:
    """Check labels, as an import checks those of a file.

    A name that is in use exactly so needs no second label. One that occurs twice in the list counts once.

    Args:
        anyway: allow names that look like others.
    """
    known = {label.name: label for label in labels.listing(session)}
    made = Plan([], [], [])
    names: dict[str, int] = {}
    for place, each in enumerate(given):
        try:
            name = clean_label_name(each.name)
            if name in names:
                continue
            guideline = labels.clean_guideline(each.guideline)
            examples = label_examples.cleaned(each.examples)
        except InvalidInputError as error:
            made.refused.append(Refused(place, each.name, str(error)))
            continue
        names[name] = place
        if name in known:
            _note_known(made, place, known[name])
        else:
            made.new.append(NewLabel(name, guideline, examples))
    return made if anyway else _without_alike(made, names, frozenset(known))


def add(session: Session, given: Sequence[NewLabel], actor: str) -> list[Label]:
    """Insert labels that `plan` found new, with guidelines and examples. The caller commits.

    Raises:
        ConflictError: somebody else has added one of them meanwhile, or there would be too many.
    """
    found = []
    for each in given:
        label = labels.add(session, each.name, actor)
        if each.guideline:
            labels.describe(session, label.id, each.guideline, label.sensitive, actor)
        label_examples.add(session, label.id, each.examples, actor)
        found.append(label)
    return found


def check(made: Plan) -> None:
    """Refuse all if one is refused.

    Raises:
        InvalidInputError: a name, guideline or example can't be stored; the message names up to ten.
        ConflictError: a name looks like another, or belongs to a label that is archived or merged.
    """
    if not made.refused:
        return
    said = "; ".join(each.why if _is_there(each) else f"{each.name[:100]!r}: {each.why}" for each in made.refused[:10])
    more = f"; and {len(made.refused) - 10:,} more" if len(made.refused) > 10 else ""
    refuse = InvalidInputError if not all(each.alike or _is_there(each) for each in made.refused) else ConflictError
    raise refuse(f"{said}{more}")


def ids(session: Session, names: Sequence[str]) -> list[int]:
    """Ids of labels by their exact names."""
    return list(session.scalars(select(Label.id).where(Label.name.in_(names))))


def _note_known(made: Plan, place: int, label: Label) -> None:
    if label.archived_at is None:
        made.there.append(label.name)
        return
    state = "merged into another: undo that" if label.merged_into_id else "archived: bring it back"
    made.refused.append(Refused(place, label.name, f"{_THERE}{label.name} already; it is {state}, or use another name"))


_THERE = "there is a label "


def _is_there(refused: Refused) -> bool:
    return refused.why.startswith(_THERE)


def _without_alike(made: Plan, places: dict[str, int], known: frozenset[str]) -> Plan:
    """The plan without new names that look like a label, or like an earlier name of the list."""
    refused = list(made.refused)
    left_out: set[str] = set()
    for group in alike({each.name: 1 for each in made.new}, known):
        ordered = sorted(group, key=lambda name: (name not in known, places.get(name, 0)))
        for name in ordered[1:]:
            if name not in known:
                left_out.add(name)
                refused.append(Refused(places[name], name, f"it looks like {ordered[0]!r}", alike=True))
    new = [each for each in made.new if each.name not in left_out]
    return Plan(new, made.there, sorted(refused))
