"""Events of the results stream, packed for the wire.

Sortline packs them itself because this is on the hot path: redis-py with hiredis takes 8 µs for the arguments of one
event, which was a third of the worker's processor time. Most fields repeat from document to document, so their bytes
are cached.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple


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


def pack_command(head: Iterable[str | int], events: Sequence[ResultEvent], tail: Iterable[str | int]) -> bytes:
    """A command in the Redis protocol (RESP2): arguments, then the values of each event, then further arguments."""
    parts = [_fresh(str(each)) for each in head]
    for event in events:
        parts += (
            _bulk(event.event), _bulk(event.source), _fresh(event.id), _bulk(event.label), _fresh(event.confidence),
            _bulk(event.decision), _bulk(event.model_version), _bulk(event.at),
        )  # fmt: skip
    parts += [_fresh(str(each)) for each in tail]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def _fresh(value: str) -> bytes:
    raw = value.encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


_bulk = lru_cache(maxsize=4096)(_fresh)
