"""The whole line against its ceiling and against what one would write by hand, alternating in one run."""

import statistics

from benchmarks.burst import line_rate
from benchmarks.model import ensure_model, register, register_stub
from benchmarks.stack import Stack, processor, result, run_json, say, stack
from benchmarks.texts import documents

_ROUNDS = 3
_BY_HAND_S = 20.0


def throughput(count: int = 20_000) -> None:
    """`throughput`: documents already in the stream, from the first read to the last acknowledgement."""
    uri, sha256 = ensure_model()
    line, ceiling, hand, memory, engine = [], [], [], [], ""
    for turn in range(_ROUNDS):
        with stack("throughput") as made:
            register(made, uri, sha256)
            found = run_json("benchmarks.ceiling", uri, str(count), env=made.environment())
            ceiling.append(found["docs_per_s"])
            engine = found["engine"]
            rate, peak = line_rate(made, documents(count, "line"))
            line.append(rate)
            memory.append(peak)
            hand.append(_by_hand(made, uri))
            say(f"round {turn + 1}: line {line[-1]:.0f}, ceiling {ceiling[-1]:.0f}, by hand {hand[-1]:.0f} docs/s")
    result(
        "throughput",
        documents=count,
        docs_per_s=round(statistics.median(line), 1),
        ceiling_docs_per_s=round(statistics.median(ceiling), 1),
        ratio_to_ceiling=round(statistics.median(a / b for a, b in zip(line, ceiling, strict=True)), 3),
        ratio_to_naive=round(statistics.median(a / b for a, b in zip(line, hand, strict=True)), 2),
        naive_docs_per_s=round(statistics.median(hand), 1),
        peak_rss_mb=max(memory),
        engine=engine,
        cpu=processor(),
    )


def intake(count: int = 300_000) -> None:
    """`intake`: what the line itself can carry, with a classifier that computes nothing."""
    rates, peak = [], 0.0
    for turn in range(_ROUNDS):
        with stack("intake", classifier="benchmarks.stub:load") as made:
            register_stub(made)
            rate, memory = line_rate(made, documents(count, "line"))
            rates.append(rate)
            peak = max(peak, memory)
            say(f"round {turn + 1}: {rate:.0f} docs/s")
    result("intake", documents=count, docs_per_s=round(statistics.median(rates), 1), peak_rss_mb=peak, cpu=processor())


def _by_hand(made: Stack, checkpoint: str) -> float:
    settings = made.settings
    database = settings.postgres_url.url
    broker = settings.celery_broker.celery["broker_url"]
    environment = made.environment(CHECKPOINT=checkpoint, DATABASE=database, BROKER=broker)
    return float(run_json("benchmarks.by_hand", "6000", str(_BY_HAND_S), env=environment)["docs_per_s"])
