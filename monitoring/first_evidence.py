"""How good the starter is, and how far an installation is from accepting documents: a sentence each, for pages."""

from math import ceil, log
from typing import NamedTuple

import numpy as np
from sqlalchemy.orm import Session

from classifier.audit_estimate import share_right
from classifier.figures import Guarantee, VersionFigures
from db.queries import model_forms, model_versions, starter_audits
from sortline.counted import FEW, counted
from sortline.settings import Settings

LEAST = 50  # decided audits that tell how often a starter is right


class Right(NamedTuple):
    """The share of a starter's suggestions that are right, with its 95 % interval, by so many decided audits."""

    decided: int
    value: float
    low: float
    high: float

    @property
    def told(self) -> bool:
        """Whether they are enough to tell."""
        return self.decided >= LEAST


def starter_right(session: Session) -> Right:
    """How often starters were right lately; each audit counts with what the starter of its time suggested."""
    rows = starter_audits.decided(session)
    if not rows:
        return Right(0, 0.0, 0.0, 1.0)
    probability, decided, right = (np.array([column], float) for column in zip(*rows, strict=True))
    found = share_right((decided / probability).sum(axis=1), probability, decided, right, finite=False)
    return Right(int(decided.sum()), float(found.value), float(found.low), float(found.high))


def starter_sentence(right: Right) -> str:
    """How often starters are right, as far as audits tell."""
    if not right.told:
        return f"{right.decided} of {LEAST} audits decided; with {LEAST} this says how often the starter is right."
    value, low, high = (100 * each for each in (right.value, right.low, right.high))
    return (
        f"The starter is right on {value:.0f} % of documents ({low:.0f} to {high:.0f} %), "
        f"by the newest {counted(right.decided, 'audit')}, each with what the starter of its time suggested."
    )


def on_the_way(session: Session, settings: Settings) -> tuple[str, str]:
    """How often the starter is right, and how far the promise is; empty: there is none, or it is proved already."""
    active = model_versions.active(session)
    if active is None:
        return "", ""
    have = starter_audits.set_aside(session)
    risk, confidence = settings.risk_target, settings.risk_confidence
    if active.starter:
        right = starter_right(session)
        return starter_sentence(right), promise_sentence(have, right.value if right.told else None, risk, confidence)
    guarantee = VersionFigures.model_validate(model_forms.served_figures(session, active)).guarantee
    return "", _of_trained(guarantee, have)


def promise_sentence(have: int, right: float | None, risk: float, confidence: float) -> str:
    """How many decisions have to be set aside until a promise can be proved, at least, and how many are.

    An error of at most ``risk`` is proved by n accepted documents without an error, (1 - risk)^n <= 1 - confidence. No
    more documents can be accepted without an error than are answered right.

    Args:
        have: decisions that are set aside.
        right: share of answers that are right; None: not known.
        risk: the error rate among accepted documents that is promised.
        confidence: of the promise.
    """
    flawless = ceil(log(1 - confidence) / log(1 - risk))
    promise = f"To accept documents, with at most {100 * risk:g} % of them wrong ({100 * confidence:g} % sure),"
    so_far = f"so far there {'is' if have == 1 else 'are'} {have:,}"
    if right is None or right <= 0:
        needed = f"it takes at least {flawless:,} decisions that are set aside for the proof"
        return f"{promise} {needed}, even if all are answered right; {so_far}."
    needed = f"it takes at least {ceil(flawless / right):,} decisions that are set aside for the proof"
    return f"{promise} {needed} while {100 * right:.0f} % of the answers are right; {so_far}."


def _of_trained(guarantee: Guarantee, have: int) -> str:
    if guarantee.proved or guarantee.risk_target is None or guarantee.confidence is None:
        return ""
    promise = f"That at most {100 * guarantee.risk_target:g} % of the accepted documents are wrong is not proved:"
    so_far = f"now there {'is' if have == 1 else 'are'} {have:,}"
    if guarantee.missing is None:
        return f"{promise} as often as the model errs, no number of decisions can prove it."
    had, seen = guarantee.documents or 0, guarantee.unproved.documents or guarantee.documents or 0
    takes = (
        f"at its present accuracy that takes about {had + guarantee.missing:,}" if seen >= FEW
        else f"that takes at least {had + guarantee.missing:,}"
    )  # fmt: skip
    return f"{promise} {takes} decisions that are set aside for the proof; its training had {had:,}, and {so_far}."
