"""A Redis stream as a file: a first line about the stream, then one line for each entry with its id."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import redis

from housekeeping.streams import read
from sortline.queue import order, pack_entry, unpack_entry

_AT_ONCE = 200

Fields = dict[bytes, bytes]
Wanted = Callable[[str, Fields], bool]


def write_stream(client: redis.Redis, stream: str, file: Path) -> int:
    """Write a stream's entries; returns how many.

    The place of each consumer group is kept: before the first event that it took and did not finish. Entries deleted
    in the meantime may be missing, and entries added in the meantime may be there.
    """
    count = 0
    with file.open("wb") as out:
        out.write(json.dumps(_about(client, stream)).encode() + b"\n")
        for entry_id, fields in read(client, stream):
            out.write(entry_id.encode() + b" " + pack_entry(list(fields.items())) + b"\n")
            count += 1
    return count


def load_stream(client: redis.Redis, stream: str, file: Path, wanted: Wanted) -> int:
    """Create a stream from such a file; returns how many entries it has.

    Its next ids are later than all that it ever gave, as if it had never been gone.
    """
    count, top = 0, "0-0"
    with file.open("rb") as lines:
        about: dict[str, Any] = json.loads(lines.readline())
        entries = (entry for entry in map(_parse, lines) if wanted(*entry))
        while page := list(islice(entries, _AT_ONCE)):
            _append(client, stream, page)
            count, top = count + len(page), page[-1][0]
    if order(about["last"]) > order(top):
        # Adding an entry and deleting it sets the last id of a stream in every version of Redis.
        client.xadd(stream, {"id": ""}, id=about["last"])
        client.xdel(stream, about["last"])
    for name, start in about["groups"].items():
        client.xgroup_create(stream, name, id=start, mkstream=True)
    return count


def _append(client: redis.Redis, stream: str, page: list[tuple[str, Fields]]) -> None:
    with client.pipeline(transaction=True) as pipe:
        for entry_id, fields in page:
            pipe.xadd(stream, fields, id=entry_id)  # type: ignore[arg-type]
        pipe.execute()


def _parse(line: bytes) -> tuple[str, Fields]:
    entry_id, _, packed = line.partition(b" ")
    return entry_id.decode(), dict(unpack_entry(packed))


def _about(client: redis.Redis, stream: str) -> dict[str, Any]:
    if not client.exists(stream):
        return {"last": "0-0", "groups": {}}
    last = client.xinfo_stream(stream)["last-generated-id"].decode()
    return {"last": last, "groups": dict(_groups(client, stream))}


def _groups(client: redis.Redis, stream: str) -> Iterator[tuple[str, str]]:
    for group in client.xinfo_groups(stream):
        name = group["name"].decode()
        oldest = client.xpending(stream, name)["min"]
        yield name, _before(oldest.decode()) if oldest else group["last-delivered-id"].decode()


def _before(entry_id: str) -> str:
    milliseconds, sequence = order(entry_id)
    return f"{milliseconds}-{sequence - 1}" if sequence else f"{max(milliseconds - 1, 0)}-{2**64 - 1}"
