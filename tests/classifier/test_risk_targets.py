"""What holds at a risk target: of a version's offers, of one from before there were offers, of one without proof."""

import pytest

from classifier.figures import Evaluation, Guarantee, Offer, Unproved, VersionFigures
from classifier.risk_targets import (
    ACCEPTS_NOTHING,
    TARGETS,
    Thresholds,
    at_target,
    best_proved,
    named,
    offer_of,
    offered,
    read_target,
    thresholds_at,
    told,
)
from classifier.shortcomings import shortcomings
from sortline.errors import InvalidInputError


def offer(target: float, threshold: float = ACCEPTS_NOTHING, proved: bool = False, coverage: float = 0.0) -> Offer:
    guarantee = Guarantee(
        risk_target=target, confidence=0.95, proved=proved, documents=200, accepted=int(200 * coverage), errors=0,
        coverage=coverage, missing=None if proved else 120, sentence=f"a promise of {target}",
    )  # fmt: skip
    return Offer(threshold=threshold, guarantee=guarantee, coverage=coverage, risk=0.0)


OFFERS = [
    offer(0.005), offer(0.01), offer(0.02, 0.99, True, 0.4), offer(0.05, 0.9, True, 0.8), offer(0.1, 0.88, True, 0.85),
]  # fmt: skip
FIGURES = VersionFigures(
    threshold=ACCEPTS_NOTHING, guarantee=OFFERS[1].guarantee, offers=OFFERS, test=Evaluation(documents=90, coverage=0.0)
)
OLD = VersionFigures(threshold=0.9, guarantee=Guarantee(proved=False, unproved=Unproved(used=True)))


@pytest.mark.parametrize(
    ("written", "target"), [("2%", 0.02), ("0.5 %", 0.005), ("0.02", 0.02), (" 10% ", 0.1), (".1", 0.1)]
)
def test_targets_are_read_as_people_write_them(written: str, target: float) -> None:
    assert read_target(written) == target


@pytest.mark.parametrize("written", ["", "2", "0", "0%", "100%", "two", "-1%", "1e-2", "nan", "2%%", "9" * 400])
def test_what_is_no_target_is_refused(written: str) -> None:
    with pytest.raises(InvalidInputError, match=r"is not a risk target; write it as 2% or as 0\.02"):
        read_target(written)


def test_the_target_aimed_at_is_offered_too() -> None:
    assert offered(0.01) == list(TARGETS)
    assert offered(0.03) == [0.005, 0.01, 0.02, 0.03, 0.05, 0.1]
    assert (named(0.005), named(0.1)) == ("0.5 %", "10 %")


def test_the_thresholds_of_a_choice() -> None:
    assert thresholds_at(FIGURES, None, False) is None
    assert thresholds_at(FIGURES, 0.05, False) == Thresholds(0.9, {})
    assert thresholds_at(FIGURES, 0.01, False) == Thresholds(ACCEPTS_NOTHING, {})


def test_a_target_that_a_version_was_not_asked_for_takes_the_loosest_stricter_promise() -> None:
    assert offer_of(OFFERS, 0.07) is OFFERS[3]
    assert offer_of(OFFERS, 0.015) is None
    assert thresholds_at(FIGURES, 0.015, False) == Thresholds(ACCEPTS_NOTHING, {})
    assert at_target(FIGURES, 0.015).guarantee.sentence.endswith("never tested for the target 1.5 %.")


def test_versions_from_before_keep_what_they_had_if_they_may() -> None:
    proved = OLD.model_copy(update={"guarantee": Guarantee(proved=True, risk_target=0.01)})

    assert thresholds_at(proved, 0.05, False) is None
    assert thresholds_at(OLD, None, True) is None
    assert thresholds_at(OLD, None, False) == thresholds_at(OLD, 0.05, False) == Thresholds(ACCEPTS_NOTHING, {})
    assert thresholds_at(VersionFigures(), None, False) is None
    shown = at_target(OLD, None)
    assert (shown.threshold, shown.guarantee.unproved.used) == (ACCEPTS_NOTHING, False)
    assert "Nothing is accepted automatically" in shown.guarantee.sentence
    assert at_target(OLD, None, True) is OLD


def test_figures_say_what_holds() -> None:
    found = at_target(FIGURES, 0.05)

    assert (found.threshold, found.guarantee.sentence, found.test.coverage) == (0.9, "a promise of 0.05", 0.8)
    assert at_target(FIGURES, None) is FIGURES


def test_each_target_is_told_in_words() -> None:
    assert told(OFFERS[0]) == "about 120 more held-out decisions, for calibration, could prove it"
    assert told(OFFERS[3]) == "proved: 0 wrong of 160 accepted"
    hopeless = offer(0.01).guarantee.model_copy(update={"missing": None})
    assert told(Offer(threshold=ACCEPTS_NOTHING, guarantee=hopeless)) == "errors are too frequent for it"
    assert told(offer(0.01, 0.9)) == "not proved, accepted all the same from confidence 0.9 on"
    assert told(offer(0.01, ACCEPTS_NOTHING, True)) == "nothing accepted: test documents show too little"


def test_the_strictest_target_that_accepts_nearly_as_much_is_the_best() -> None:
    assert best_proved(OFFERS) is OFFERS[3]
    assert best_proved(OFFERS[:2]) is None
    assert best_proved([]) is None


def test_a_version_that_accepts_nothing_says_which_target_is_proved() -> None:
    unproved = OFFERS[1].guarantee.model_copy(update={"unproved": Unproved(used=False)})

    (found,) = shortcomings(FIGURES.model_copy(update={"guarantee": unproved}), "active")

    assert found.name == "nothing accepted"
    assert found.said.endswith("nothing proves that at most 1 % of the accepted would be wrong.")
    assert "5 % accepts 80 %" in found.do
    assert "at least 120 more calibration documents" in found.do
