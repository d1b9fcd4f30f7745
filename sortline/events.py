"""Events of the results stream: what each kind holds, and how they are packed for the wire.

Sortline packs them itself because this is on the hot path: redis-py with hiredis takes 8 µs for the arguments of one
event, which was a third of the worker's processor time. Most fields repeat from document to document, so their bytes
are cached.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import isnan
from typing import NamedTuple

KINDS = ("classified", "corrected", "rescored", "dead")


class ResultEvent(NamedTuple):
    """One entry of `sortline:results`; fields that don't apply are empty."""

    event: str
    source: str
    id: str
    label: str = ""
    confidence: str = ""
    decision: str = ""
    fit: str = ""
    model_version: str = ""
    form: str = ""
    at: str = ""


def classified(
    source: str,
    id: str,
    label: str,
    confidence: float,
    decision: str,
    fit: float | None,
    model_version: int,
    form: str,
    at: str,
) -> ResultEvent:
    """A document was classified, or sent again.

    Args:
        fit: the probability that it belongs to one of the labels; None or NaN: the model gives none.
        form: that of the model version.
    """
    told = "" if fit is None or isnan(fit) else f"{fit:.6f}"
    version = str(model_version)
    return ResultEvent("classified", source, id, label, f"{confidence:.6f}", decision, told, version, form, at)


def rescored(said: ResultEvent) -> ResultEvent:
    """A waiting document got another label, or is accepted after all.

    Args:
        said: the new answer, as `classified` tells it.
    """
    return said._replace(event="rescored")


def corrected(source: str, id: str, label: str | None, action: str, model_version: int | None, at: str) -> ResultEvent:
    """A person gave another label than upstream knows; None: no label fits."""
    version = str(model_version or "")
    return ResultEvent("corrected", source, id, label or "", decision=action, model_version=version, at=at)


def dead(source: str, id: str, reason: str, at: str) -> ResultEvent:
    """An entry could not be classified."""
    return ResultEvent("dead", source, id, decision=reason, at=at)


def now() -> str:
    """This moment, as events tell it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def pack_command(head: Iterable[str | int], events: Sequence[ResultEvent], tail: Iterable[str | int]) -> bytes:
    """A command in the Redis protocol (RESP2): arguments, then the values of each event, then further arguments."""
    parts = [_fresh(str(each)) for each in head]
    for event in events:
        parts += (
            _bulk(event.event), _bulk(event.source), _fresh(event.id), _bulk(event.label), _fresh(event.confidence),
            _bulk(event.decision), _fresh(event.fit), _bulk(event.model_version), _bulk(event.form), _bulk(event.at),
        )  # fmt: skip
    parts += [_fresh(str(each)) for each in tail]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def _fresh(value: str) -> bytes:
    raw = value.encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


_bulk = lru_cache(maxsize=4096)(_fresh)
