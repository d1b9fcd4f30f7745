"""Risk targets: how many of the accepted documents may be wrong. A training proves each of several; people choose one.

A choice holds for the whole installation, needs no training, and is kept in the database (`db.queries.risk_targets`).
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from classifier.figures import Guarantee, Offer, Unproved, VersionFigures
from sortline.errors import InvalidInputError

TARGETS = (0.005, 0.01, 0.02, 0.05, 0.1)
ACCEPTS_NOTHING = 2.0  # the threshold
# Beside every list of targets.
ALONE = (
    "Each target is proved for itself: decide by what an error costs, not by this list, because the chance that one of "
    "several promises is wrong is larger than that of one."
)
_NEARLY = 0.9
_NOT_ANY_MORE = (
    "Nothing is accepted automatically: it was trained when versions accepted without proof, and never served then. "
    "Train again, and choose a target."
)
_WRITTEN = re.compile(r"(\d*\.?\d+) ?(%?)")


class Thresholds(NamedTuple):
    """The least score that is accepted (`classifier.decision.score`); by label id, of labels that have their own."""

    threshold: float
    by_label: dict[int, float]


def offered(aimed: float) -> list[float]:
    """The targets that a training proves, least first; ``aimed`` is among them."""
    return sorted({*TARGETS, aimed})


def named(target: float) -> str:
    """A target as people read it, as ``0.5 %``."""
    return f"{100 * target:g} %"


def read_target(written: str) -> float:
    """A target as people write it, as ``2%``, ``0.5 %`` or ``0.02``.

    Raises:
        InvalidInputError: it is none.
    """
    found = _WRITTEN.fullmatch(written.strip().replace("\N{NO-BREAK SPACE}", " "))
    value = 0.0 if found is None else float(found[1]) / (100 if found[2] else 1)
    if not 0 < value < 1:
        raise InvalidInputError(f"{written[:40]!r} is not a risk target; write it as 2% or as 0.02")
    return round(value, 12)


def check_offered(target: float, aimed: float) -> None:
    """Refuse a target that trainings do not prove.

    Raises:
        InvalidInputError: it is none of those offered; the message lists them.
    """
    if target not in offered(aimed):
        listed = ", ".join(map(named, offered(aimed)))
        raise InvalidInputError(f"{named(target)} is not offered; choose one of {listed}")


def offer_of(offers: Sequence[Offer], target: float) -> Offer | None:
    """The offer for a target, else the proved one for the loosest of the stricter targets; None: there is neither."""
    stricter = [each for each in offers if (each.guarantee.risk_target or 1.0) < target and each.guarantee.proved]
    same = [each for each in offers if each.guarantee.risk_target == target]
    return same[0] if same else max(stricter, key=lambda each: each.guarantee.risk_target or 0.0, default=None)


def at_target(figures: VersionFigures, target: float | None, may_lack_proof: bool = False) -> VersionFigures:
    """A version's figures with what holds at a target: threshold, guarantee, and what is accepted on test.

    Args:
        target: that people have chosen; None: none, so what the training aimed at holds.
        may_lack_proof: as for `thresholds_at`.
    """
    if not figures.offers and _lacks_proof(figures) and not may_lack_proof:
        guarantee = figures.guarantee.model_copy(update={"unproved": Unproved(used=False), "sentence": _NOT_ANY_MORE})
        test = figures.test.model_copy(update={"coverage": 0.0, "risk": None}) if figures.test else figures.test
        return figures.model_copy(update={"threshold": ACCEPTS_NOTHING, "guarantee": guarantee, "test": test})
    if target is None or not figures.offers:
        return figures
    found = offer_of(figures.offers, target) or _not_offered(target)
    test = figures.test
    if test:
        intervals = test.intervals.model_copy(update={"coverage": None, "risk": None})
        update = {"coverage": found.coverage, "risk": found.risk, "detection": found.detection, "intervals": intervals}
        test = test.model_copy(update=update)
    more = {"threshold": found.threshold, "guarantee": found.guarantee, "test": test}
    return figures.model_copy(update=more)


def thresholds_at(figures: VersionFigures, target: float | None, may_lack_proof: bool) -> Thresholds | None:
    """The thresholds that hold at a target; None: those that its checkpoint was sealed with.

    A version from before targets could be chosen keeps its thresholds, if they were proved.

    Args:
        figures: of the form that serves.
        target: that people have chosen; None: none.
        may_lack_proof: whether a version from before then keeps thresholds without proof too.
    """
    if not figures.offers:
        return None if may_lack_proof or not _lacks_proof(figures) else Thresholds(ACCEPTS_NOTHING, {})
    if target is None:
        return None
    found = offer_of(figures.offers, target) or _not_offered(target)
    return Thresholds(found.threshold, found.label_thresholds)


def told(offer: Offer) -> str:
    """What is known of a target, in words."""
    found = offer.guarantee
    if offer.threshold > 1 and found.proved:
        return "nothing accepted: test documents show too little"
    if found.proved:
        return f"proved: {found.errors or 0:,} wrong of {found.accepted or 0:,} accepted"
    if offer.threshold <= 1:
        return f"not proved, accepted all the same from confidence {offer.threshold:g} on"
    if found.missing:
        return f"about {found.missing:,} more held-out decisions, for calibration, could prove it"
    return "errors are too frequent for it"


def moved_since(alarm: datetime | None) -> str:
    """What an alarm of drift since the proof means for it, in words; empty: there was none."""
    if alarm is None:
        return ""
    return (
        f"Traffic has moved since it was proved (alarm of {alarm:%Y-%m-%d}): the promise is about an earlier mixture. "
        "Decide new audits and train again to renew it."
    )


def best_proved(offers: Sequence[Offer]) -> Offer | None:
    """Of the targets that are proved, the strictest at which nearly as much is accepted as at any; None: none is."""
    proved = [each for each in offers if each.guarantee.proved and each.threshold <= 1]
    most = max((each.guarantee.coverage or 0.0 for each in proved), default=0.0)
    enough = [each for each in proved if (each.guarantee.coverage or 0.0) >= _NEARLY * most]
    return min(enough, key=lambda each: each.guarantee.risk_target or 1.0, default=None)


def _not_offered(target: float) -> Offer:
    sentence = f"Nothing is accepted automatically: this version was never tested for the target {named(target)}."
    guarantee = Guarantee(risk_target=target, proved=False, unproved=Unproved(used=False), sentence=sentence)
    return Offer(threshold=ACCEPTS_NOTHING, guarantee=guarantee, coverage=0.0)


def _lacks_proof(figures: VersionFigures) -> bool:
    return figures.guarantee.unproved.used and not figures.guarantee.proved
