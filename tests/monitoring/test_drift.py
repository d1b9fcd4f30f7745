"""The test of one look: what alarms, what does not, and how often by chance."""

import numpy as np
import pytest

from monitoring import drift
from monitoring.drift import Figures

LABELS = [1, 2, 3]


def traffic(count: int, seed: int, moved: float = 0.0, stream: str = "") -> Figures:
    """Documents of which a share has one figure like nothing before."""
    draw = np.random.default_rng(seed)
    values = {
        "confidence": draw.beta(5, 1, count), "label_ids": draw.choice(LABELS, count, p=(0.5, 0.3, 0.2)),
        "length": draw.integers(10, 200, count).astype(float), "unknown_words": draw.choice([0, 0, 0.1, 0.2], count),
        "embedding": draw.beta(2, 5, count),
    }  # fmt: skip
    unlike = {"confidence": 0.0, "label_ids": 3, "length": 5000.0, "unknown_words": 1.0, "embedding": 0.99}
    if stream:
        values[stream] = np.where(draw.random(count) < moved, unlike[stream], values[stream])
    return Figures(**values)


def streams(now: Figures, before: Figures, alpha: float = 1e-6, margin: float = 0.02) -> set[str]:
    return {each.stream for each in drift.moved({"training": before}, now, LABELS, alpha, margin)}


@pytest.mark.parametrize("stream", [*drift.STREAMS])
def test_a_share_of_documents_unlike_before_is_found_in_its_stream_alone(stream: str) -> None:
    field = "label_ids" if stream == "labels" else stream

    assert streams(traffic(1000, 1, 0.25, field), traffic(2000, 2)) == {stream}
    assert streams(traffic(1000, 1), traffic(2000, 2)) == set()


def test_surer_answers_and_nearer_texts_are_no_harm() -> None:
    now = traffic(1000, 1)._replace(confidence=np.ones(1000), unknown_words=np.zeros(1000), embedding=np.zeros(1000))

    assert streams(now, traffic(2000, 2)) == set()


def test_a_trifle_alarms_at_no_number_of_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "WINDOWS", (200_000,))  # a look takes fewer, however many there are
    now, before = traffic(200_000, 1, 0.01, "length"), traffic(200_000, 2)

    assert streams(now, before) == set()
    assert streams(now, before, margin=0.0) == {"length"}


def test_few_documents_alarm_by_a_large_move_alone() -> None:
    before = traffic(2000, 2)

    assert streams(traffic(100, 1, 0.1, "embedding"), before) == set()
    assert streams(traffic(100, 1, 0.6, "embedding"), before) == {"embedding"}


@pytest.mark.parametrize("count", [100, 500])
def test_alarms_by_chance_are_no_more_than_the_level_allows(count: int) -> None:
    looks, alpha = 400, 0.05 / len(drift.STREAMS) / len(drift.WINDOWS)

    alarms = sum(bool(streams(traffic(count, 2 * i), traffic(600, 2 * i + 1), alpha, 0.0)) for i in range(looks))

    assert alarms <= 33  # of Binomial(400, 0.05), exceeded with probability 0.002


def test_a_level_shares_the_months_budget_among_all_tests() -> None:
    assert drift.level(0.1, 720) * 720 * 5 * 2 * 2 == pytest.approx(0.1)


def test_words_name_the_share_on_the_side_that_grew() -> None:
    now, before = traffic(1000, 1, 0.3, "length"), traffic(2000, 2)
    (found,) = drift.moved({"weeks": before}, now, LABELS, 1e-6, 0.02)

    said = drift.in_words(found, {})

    assert "of 1,000 new documents have more than" in said
    assert said.endswith("in the weeks before.")
    assert found.holds(now).mean() == pytest.approx(found.now, abs=0.01)  # equal lengths are told apart by chance
    assert now.length[drift.evidence([found], now, 50)].min() > found.edge


def test_unknown_words_are_those_that_no_training_text_has() -> None:
    known = drift.known_words(["Where is my CARD?", "Lost cash."])

    assert drift.unknown_share("my card, my Zebra!", known) == 0.25
    assert drift.unknown_share("?!", known) == 0.0
