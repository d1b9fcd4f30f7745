"""The first steps of an installation, ticked off by what is stored, and where people land until they are done."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.queries import first_steps
from db.queries.first_steps import DECISIONS
from db.queries.starters import LEAST_LABELS
from db.queries.status import FIRST_TRAINING
from monitoring.first_evidence import starter_right, starter_sentence
from sortline.counted import counted


@dataclass(frozen=True, slots=True)
class Step:
    """A step: ``name`` as the page knows it; ``state``: how far it is, in words, empty: nothing is to be said."""

    name: str
    title: str
    done: bool
    state: str = ""


def steps(session: Session) -> list[Step]:
    """The steps in their order. Once a trained version has gone live, all of them are done."""
    found = first_steps.done(session, FIRST_TRAINING)
    right = starter_right(session)
    watched = found.trained or right.told
    if not found.model:
        learning = "A starter is made as soon as there are texts and two labels."
    else:
        learning = "" if found.trained else starter_sentence(right)
    return [
        Step("texts", "Bring texts", found.trained or found.texts),
        Step(
            "labels", "Name the labels", found.trained or found.labels >= LEAST_LABELS,
            f"{counted(found.labels, 'label')} so far" if found.labels else "",
        ),
        Step(
            "decide", f"Decide {DECISIONS} documents", found.trained or found.decisions >= DECISIONS,
            f"{min(found.decisions, DECISIONS)} of {DECISIONS} decided",
        ),
        Step("learn", "Watch it learn", watched, learning),
        Step(
            "train", "Train a model", found.trained,
            "" if found.trained else f"{min(found.decisions, FIRST_TRAINING)} of {FIRST_TRAINING} decisions",
        ),
    ]  # fmt: skip


def landing(session: Session, user_id: int, is_lead: bool) -> str:
    """The path of the page where a person's work is after they have signed in.

    The desk where documents wait and can be decided; the list of first steps where the installation is not that far,
    for leads who have not hidden it; otherwise the state of the line.
    """
    found = first_steps.done(session)
    if found.waits and found.labels >= LEAST_LABELS:
        return "/desk"
    if is_lead and not found.trained and not first_steps.is_hidden(session, user_id):
        return "/first-steps"
    return "/"
