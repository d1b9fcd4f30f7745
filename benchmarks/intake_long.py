"""What the line itself carries of texts as long as a paragraph, with a classifier that computes nothing."""

import statistics

import numpy as np

from benchmarks.burst import line_rate
from benchmarks.model import register_stub
from benchmarks.stack import processor, result, say, stack
from benchmarks.texts import LABELS, paragraphs

_ROUNDS = 3


def intake_long(count: int = 200_000) -> None:
    """`intake_long`: the stub's line with 77 labels and texts of 126 words."""
    rates, peak = [], 0.0
    sent = paragraphs(count, "long")
    for turn in range(_ROUNDS):
        with stack("intake-long", classifier="benchmarks.stub:load") as made:
            register_stub(made, LABELS)
            rate, memory = line_rate(made, sent)
            rates.append(rate)
            peak = max(peak, memory)
            say(f"round {turn + 1}: {rate:.0f} docs/s")
    result("intake_long", documents=count, docs_per_s=round(statistics.median(rates), 1), peak_rss_mb=peak, cpu=processor())
