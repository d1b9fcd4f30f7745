"""Which variant of int8 is taken: the first that is quiet enough, or the quietest; by its noise alone."""

from math import inf

import numpy as np
import pytest

from classifier.figures import Int8Choice, Int8Variant
from trainer.evaluation.int8_variants import choose, most_noise, noise_of

MARGIN = 0.005
LIMIT = most_noise(MARGIN)


def chosen(noise: dict[Int8Variant, float]) -> tuple[str, Int8Choice, list[str]]:
    """What is taken of variants with this noise, and which were made besides plain int8; others can't be made."""
    made: list[str] = []

    def make(variant: Int8Variant) -> Int8Variant | None:
        made.append(variant)
        return variant if variant in noise else None

    plain: Int8Variant = "plain"
    found, choice = choose(plain, make, lambda variant: noise[variant], MARGIN)
    return found, choice, made


def test_quiet_plain_int8_is_taken_and_nothing_else_is_made() -> None:
    found, choice, made = chosen({"plain": LIMIT})
    assert (found, made, choice.sentence) == ("plain", [], "")
    assert [(each.variant, each.noise) for each in choice.tried] == [("plain", LIMIT)]


def test_the_first_that_is_quiet_enough_is_taken() -> None:
    found, choice, made = chosen({"plain": 0.5, "last": 0.3, "ends": 0.1, "half": 0.01})
    assert (found, choice.variant, made) == ("ends", "ends", ["last", "ends"])
    assert choice.sentence == (
        "Int8 but for its first and its last layer: plain int8 was too far from the whole model "
        f"(noise 0.50, and {LIMIT:.2f} is the limit; now 0.10)."
    )


def test_if_none_is_quiet_enough_the_quietest_is_taken() -> None:
    found, choice, made = chosen({"plain": 0.5, "last": 0.3, "half": 0.4})
    assert (found, made) == ("last", ["last", "ends", "half"])
    assert [each.variant for each in choice.tried] == ["plain", "last", "half"]
    assert choice.sentence == (
        "Int8 but for its last layer: of 3 variants that were tried the closest to the whole model, but too far from "
        f"it (noise 0.30, and {LIMIT:.2f} is the limit)."
    )


def test_a_variant_that_computes_no_numbers_is_the_worst() -> None:
    logits = np.array([[3.0, 1.0, 0.0]] * 4, np.float32)
    broken = logits.copy()
    broken[2, 0] = np.nan
    assert noise_of(logits, broken) == inf
    found, choice, _ = chosen({"plain": inf, "last": 0.3})
    assert found == "last"
    assert choice.model_validate_json(choice.model_dump_json()).tried[0].noise is None


def test_noise_is_the_change_of_the_lead_over_the_usual_lead() -> None:
    """Leads of 2, which change by +0.4 and -0.4; what all logits gain changes no answer."""
    logits = np.array([[3, 1, 0], [0, 1, 3]], np.float32)
    form = np.array([[3.2, 0.8, 0], [0, 1.2, 2.8]], np.float32) + np.array([[5], [-2]], np.float32)
    assert noise_of(logits, form) == pytest.approx(0.2)
    assert noise_of(10 * logits, 10 * form) == pytest.approx(0.2)


def test_a_wider_margin_allows_more_noise() -> None:
    assert most_noise(4 * MARGIN) == pytest.approx(2 * LIMIT)
