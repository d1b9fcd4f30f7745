"""One worker against two in the same consumer group."""

import contextlib
import statistics

from benchmarks.burst import burst
from benchmarks.model import register_stub
from benchmarks.stack import Stack, processor, result, say, stack
from benchmarks.texts import documents

_ROUNDS = 3
_US = 1_000  # that a document takes on the stub that waits: a thousand documents a second, as on a small accelerator


def workers(count: int = 100_000) -> None:
    """`workers`: documents a second of one and of two workers, median of three rounds, and how many times as many.

    With the stub that computes nothing (``bare``), Redis, Postgres and all workers share this machine's cores, so the
    ratio says whether there are cores left. With a stub that waits as for an accelerator of its own (``accelerator``;
    a tenth of the documents) cores are left, and the ratio says whether a second worker takes its share.
    """
    bare = _scaling(0, count)
    accelerator = _scaling(_US, count // 10)
    result(
        "workers", documents=count, **{f"bare_{name}": rate for name, rate in bare.items()},
        **{f"accelerator_{name}": rate for name, rate in accelerator.items()}, cpu=processor(),
    )  # fmt: skip


def _scaling(us: int, count: int) -> dict[str, float]:
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(_ROUNDS):
        for number in sorted(rates, reverse=bool(turn % 2)):
            with stack("workers", classifier="benchmarks.stub:load") as made:
                register_stub(made, us=us)
                rates[number].append(_rate(made, number, count))
                say(f"{us} us a document, round {turn + 1}: {number} workers, {rates[number][-1]:.0f} documents/s")
    one, two = (statistics.median(rates[number]) for number in (1, 2))
    ratio = statistics.median(b / a for a, b in zip(rates[1], rates[2], strict=True))
    return {"one_docs_per_s": round(one, 1), "two_docs_per_s": round(two, 1), "ratio": round(ratio, 2)}


def _rate(made: Stack, number: int, count: int) -> float:
    with contextlib.ExitStack() as running:
        processes = [running.enter_context(made.worker()) for _ in range(number)]
        made.wait_ready(workers=number)
        return burst(made, processes, documents(count, "line"))
