"""The whole line against its ceiling and against what one would write by hand, alternating in one run."""

import os
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.burst import line_rate
from benchmarks.model import ensure_forms, register, register_stub
from benchmarks.stack import Stack, processor, result, run_json, say, stack
from benchmarks.texts import documents
from benchmarks.without_model import without_model

_ROUNDS = 3
_BY_HAND_S = 20.0


def throughput(count: int = 20_000) -> None:
    """`throughput`: documents already in the stream, from the first read to the last acknowledgement.

    ``forms``, by name (``bf16`` or ``f32`` is the whole model on its usual engine): the line's and the bare engine's
    documents per second, their ratio, the ratio to the way by hand, accuracy on the test documents, and whether the
    gate would let the form serve. The figures beside it are those of the fastest form that serves.
    """
    sealed = ensure_forms()
    answers = run_json("benchmarks.form_answers", env=os.environ)
    rates: dict[str, list[_Rates]] = {name: [] for name in sealed}
    for turn in range(_ROUNDS):
        hand = 0.0
        for name, form in sealed.items():
            with stack("throughput", form=name) as made:
                register(made, *sealed["whole"][1:], sealed.values())
                ceiling = run_json("benchmarks.ceiling", form.uri, str(count), env=made.environment())
                line, peak = line_rate(made, documents(count, "line"))
                hand = hand or _by_hand(made, sealed["whole"].uri)
            rates[name].append(_Rates(line, ceiling["docs_per_s"], hand, peak))
            say(f"round {turn + 1}, {name}: line {line:.0f}, ceiling {ceiling['docs_per_s']:.0f}, by hand {hand:.0f}")
    forms = {name: _figures(found) | answers[name] for name, found in rates.items()}
    best = max((name for name in forms if forms[name]["served"]), key=lambda name: forms[name]["docs_per_s"])
    usual = forms["whole"]["engine"].rpartition("-")[2]
    shown = {usual if name == "whole" else name: each for name, each in forms.items()}
    result("throughput", documents=count, **forms[best], form=best, forms=shown, cpu=processor())


class _Rates(NamedTuple):
    line: float
    ceiling: float
    hand: float
    peak: float


def _figures(found: Sequence[_Rates]) -> dict[str, Any]:
    return {
        "docs_per_s": round(statistics.median(each.line for each in found), 1),
        "ceiling_docs_per_s": round(statistics.median(each.ceiling for each in found), 1),
        "ratio_to_ceiling": round(statistics.median(each.line / each.ceiling for each in found), 3),
        "ratio_to_naive": round(statistics.median(each.line / each.hand for each in found), 2),
        "naive_docs_per_s": round(statistics.median(each.hand for each in found), 1),
        "peak_rss_mb": max(each.peak for each in found),
    }


def intake(count: int = 300_000) -> None:
    """`intake`: what the line itself can carry, with a classifier that computes nothing.

    ``unpredicted_docs_per_s``: the same without a model, when documents are only stored.
    ``predicted_later_docs_per_s``: those documents, from the activation of a first version to the last prediction.
    """
    rates, later, peak = [], [], 0.0
    for turn in range(_ROUNDS):
        with stack("intake", classifier="benchmarks.stub:load") as made:
            register_stub(made)
            rate, memory = line_rate(made, documents(count, "line"))
            rates.append(rate)
            peak = max(peak, memory)
        with stack("intake", classifier="benchmarks.stub:load") as made:
            later.append(without_model(made, documents(count, "line")))
        say(f"round {turn + 1}: {rate:.0f} docs/s, {later[-1].stored:.0f} stored, {later[-1].predicted:.0f} later")
    result(
        "intake", documents=count, docs_per_s=round(statistics.median(rates), 1), peak_rss_mb=peak,
        unpredicted_docs_per_s=round(statistics.median(each.stored for each in later), 1),
        predicted_later_docs_per_s=round(statistics.median(each.predicted for each in later), 1), cpu=processor(),
    )  # fmt: skip


def _by_hand(made: Stack, checkpoint: str) -> float:
    settings = made.settings
    database = settings.postgres_url.url
    broker = settings.celery_broker.celery["broker_url"]
    environment = made.environment(CHECKPOINT=checkpoint, DATABASE=database, BROKER=broker)
    return float(run_json("benchmarks.by_hand", "6000", str(_BY_HAND_S), env=environment)["docs_per_s"])
