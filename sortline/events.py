"""Events of the results stream: what each kind holds, and how they are packed for the wire.

Sortline packs them itself because this is on the hot path: redis-py with hiredis takes 8 µs for the arguments of one
event, which was a third of the worker's processor time. Most fields repeat from document to document, so their bytes
are cached.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
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
    model_version: str = ""
    at: str = ""
    form: str = ""


def classified(
    source: str, id: str, label: str, confidence: float, decision: str, model_version: int, form: str, at: str
) -> ResultEvent:
    """A document was classified, or sent again; ``form``: of the model version."""
    return ResultEvent("classified", source, id, label, f"{confidence:.6f}", decision, str(model_version), at, form)


def rescored(
    source: str, id: str, label: str, confidence: float, decision: str, model_version: int, form: str, at: str
) -> ResultEvent:
    """A new model gave a waiting document another label; ``form``: of the model version."""
    return ResultEvent("rescored", source, id, label, f"{confidence:.6f}", decision, str(model_version), at, form)


def corrected(source: str, id: str, label: str | None, action: str, model_version: int | None, at: str) -> ResultEvent:
    """A person gave another label than upstream knows; None: no label fits."""
    return ResultEvent("corrected", source, id, label or "", "", action, str(model_version or ""), at)


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
            _bulk(event.decision), _bulk(event.model_version), _bulk(event.at), _bulk(event.form),
        )  # fmt: skip
    parts += [_fresh(str(each)) for each in tail]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def _fresh(value: str) -> bytes:
    raw = value.encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


_bulk = lru_cache(maxsize=4096)(_fresh)
