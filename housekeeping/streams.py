"""Erasure in Redis: the entries of erased documents, in the lanes and on the results stream."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from typing import cast

import redis

from db.queries.erasure import Erasure, Name, name_hash
from sortline.queue import DEFAULT_SOURCE, GROUP, order
from sortline.redis_client import as_text
from sortline.settings import LANES

_PAGE = 100  # entries read at once; one can be a mebibyte long

Fields = Mapping[bytes, bytes]
Streams = Mapping[str, str]  # Redis keys of `live`, `bulk` and `results`


def last_ids(client: redis.Redis, streams: Streams) -> dict[str, str]:
    """The last entry id of each stream, by `live`, `bulk` and `results`; 0-0 if there is no stream."""
    return {name: _last_id(client, stream) for name, stream in streams.items()}


def read(client: redis.Redis, stream: str, upto: str = "+") -> Iterator[tuple[str, Fields]]:
    """A stream's entries (id, fields), in order."""
    start = "-"
    while page := cast("list[tuple[bytes, Fields]]", client.xrange(stream, start, upto, count=_PAGE)):
        for entry_id, fields in page:
            yield entry_id.decode(), fields
        start = f"({page[-1][0].decode()}"


def name_of(fields: Fields) -> Name | None:
    """The name of an entry's document; None if it can't be read."""
    try:
        return fields.get(b"source", DEFAULT_SOURCE.encode()).decode(), fields[b"id"].decode()
    except (KeyError, UnicodeDecodeError):
        return None


def has_meta(fields: Fields, key: str, value: str) -> bool:
    """Whether an entry's meta has that value under that key at its top level, as Postgres' ->> would write it."""
    try:
        meta = json.loads(fields.get(b"meta", b"null"), parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError):
        return False
    if not isinstance(meta, dict) or meta.get(key) is None:
        return False
    found = meta[key]
    if isinstance(found, bool):
        return value == str(found).lower()
    return value == (format(found, "f") if isinstance(found, Decimal) else found)


def waiting(client: redis.Redis, streams: Streams, wanted: Callable[[Fields], bool]) -> list[Name]:
    """Names of the wanted entries of the lanes, one for each entry."""
    found = [name_of(fields) for lane in LANES for _, fields in read(client, streams[lane]) if wanted(fields)]
    return [name for name in found if name is not None]


def clear_lanes(client: redis.Redis, streams: Streams, erasures: Collection[Erasure]) -> int:
    """Delete the entries that were sent before their erasure; returns how many.

    What a worker holds stays pending: the worker acknowledges it and, because of the erasure, stores nothing.
    """
    known = {each.name_hash: each for each in erasures}
    deleted = 0
    for lane in LANES:
        stream, last = streams[lane], max((each.before[lane] for each in erasures), key=order)
        for entry_id, fields in read(client, stream, last):
            found = _erasure(known, name_of(fields))
            if found is not None and order(entry_id) <= order(found.before[lane]):
                deleted += int(client.xdel(stream, entry_id))
    return deleted


def held(client: redis.Redis, streams: Streams, erasures: Collection[Erasure]) -> int:
    """How many entries that were sent before the last of these erasures workers hold, of any document; at most 1,000.

    While there are any, an event of an erased document can still come.
    """
    return sum(
        _pending(client, streams[lane], max((each.before[lane] for each in erasures), key=order)) for lane in LANES
    )


def clear_results(
    client: redis.Redis,
    stream: str,
    erasures: Collection[Erasure],
    sent_again: Callable[[list[Name]], Collection[Name]],
) -> int:
    """Delete the events of erased documents; returns how many.

    Args:
        stream: Redis key of the results stream.
        sent_again: those of the names that are in the database again; their later events stay.
    """
    known = {each.name_hash: each for each in erasures}
    last = _last_id(client, stream)  # before the query: a new document is stored before its event
    found: list[tuple[str, Name, Erasure]] = []
    for entry_id, fields in read(client, stream, last):
        name = name_of(fields)
        erasure = _erasure(known, name)
        if name is not None and erasure is not None:
            found.append((entry_id, name, erasure))
    again = sent_again(sorted({name for _, name, _ in found})) if found else ()
    ids = [
        entry_id
        for entry_id, name, erasure in found
        if name not in again or order(entry_id) <= order(erasure.before["results"])
    ]
    return int(client.xdel(stream, *ids)) if ids else 0


def _erasure(known: Mapping[bytes, Erasure], name: Name | None) -> Erasure | None:
    return None if name is None else known.get(name_hash(*name))


def _pending(client: redis.Redis, stream: str, last: str) -> int:
    try:
        return len(client.xpending_range(stream, GROUP, "-", last, 1000))
    except redis.exceptions.ResponseError as error:
        if "NOGROUP" not in str(error):
            raise
        return 0


def _last_id(client: redis.Redis, stream: str) -> str:
    try:
        found = client.xinfo_stream(stream)["last-generated-id"]
    except redis.exceptions.ResponseError as error:
        if "no such key" not in str(error):
            raise
        return "0-0"
    return as_text(found)
