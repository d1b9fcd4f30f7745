"""The document queue for producers, the web and the command line; it needs only Redis and settings.

A document is one entry of a Redis stream (`sortline:documents:live` or `:bulk`), fields `id`, `text`,
`source`, `meta`. The worker's side, reading and acknowledging, is worker/consumer.py.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from sortline import disk, traces
from sortline.errors import (
    InvalidDocumentError,
    QueueFullError,
    ServerUnreachableError,
)
from sortline.meta import write_meta
from sortline.redis_client import as_text, reaching, told
from sortline.reports import by_worker
from sortline.settings import LANES, Lane, Settings
from sortline.text import encode

GROUP = "workers"
MAX_ID_CHARS = 200
MAX_SOURCE_CHARS = 100
MAX_TEXT_BYTES = 2**20
DEFAULT_SOURCE = "default"


@dataclass(frozen=True, slots=True)
class Document:
    """What a producer sends."""

    id: str
    text: str
    source: str = DEFAULT_SOURCE
    meta: Mapping[str, Any] | None = None

    def fields(self, index: int | None = None) -> dict[str, bytes]:
        """The entry's fields, checked against the limits.

        Raises:
            InvalidDocumentError: a limit is broken; the error has the reason and ``index``.
        """
        try:
            check_name("id", self.id, MAX_ID_CHARS)
            check_name("source", self.source, MAX_SOURCE_CHARS)
            fields = {"id": self.id.encode(), "text": _text(self.text), "source": self.source.encode()}
            if self.meta is not None:
                fields["meta"] = write_meta(self.meta)
        except InvalidDocumentError as error:
            raise InvalidDocumentError(str(error), error.reason, index) from None
        return fields


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane's unfinished entries (waiting or in progress) and the age of the oldest."""

    backlog: int
    pending: int
    oldest_s: float | None


class DocumentQueue:
    """Appends documents to the lanes and reports how full they are."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self.client = client
        self.settings = settings
        self._durable_until = 0.0
        self._waits_for_disk = False

    def append(
        self, documents: Sequence[Document], lane: Lane = "live", durable: bool = False, counted: bool = False
    ) -> list[str]:
        """Append documents to a lane: all of them, in order, or none.

        Args:
            durable: return only when Redis has them on disk.
            counted: count them among the documents that `accepted` returns.

        Returns:
            Their entry ids.

        Raises:
            InvalidDocumentError: a document breaks a limit; its index is in the error.
            QueueFullError: the lane is longer than the setting max_backlog allows.
            DiskFullError: the disk under Redis or Postgres is full.
            ServerUnreachableError: Redis can't be reached or can't promise durability; retry with the same ids.
        """
        rows = [document.fields(index) for index, document in enumerate(documents)]
        if not rows:
            return []
        stream = self.settings.stream(lane)
        for server in self.full_embedded():
            raise disk.full(server)
        with reaching(self.client), traces.appending(stream, len(rows)) as carried:
            if durable and (reason := self.forgets()):
                raise ServerUnreachableError(reason)
            with self.client.pipeline(transaction=False) as ask:
                ask.xlen(stream)
                ask.exists(disk.key(self.settings.prefix))
                length, full = ask.execute()
            if full:
                raise disk.full("postgres")
            if length + len(rows) > self.settings.max_backlog:
                limit = self.settings.max_backlog
                raise QueueFullError(f"lane {lane} is full: it holds {length:,} documents; the limit is {limit:,}", 5.0)
            with self.client.pipeline(transaction=True) as pipe:
                for row in rows:
                    pipe.xadd(stream, row | carried)  # type: ignore[arg-type]
                if counted:
                    pipe.hincrby(self._accepted, lane, len(rows))
                entry_ids = [as_text(entry_id) for entry_id in pipe.execute()[: len(rows)]]
            if durable and self._waits_for_disk:
                self._wait_for_disk()
        return entry_ids

    def append_again(self, lane: Lane, entries: Sequence[Sequence[tuple[bytes, bytes]]]) -> None:
        """Append entries exactly as they were sent before, valid or not: all of them or none.

        Args:
            entries: each entry's fields, as `unpack_entry` returns them.

        Raises:
            ServerUnreachableError: Redis can't be reached.
        """
        stream = self.settings.stream(lane)
        if not entries:
            return
        with reaching(self.client), self.client.pipeline(transaction=True) as pipe:
            for fields in entries:
                # Not xadd(), which takes a dictionary: a bad entry may have a field twice.
                flat = [part for pair in fields for part in pair]
                pipe.execute_command("XADD", stream, "*", *flat)  # type: ignore[no-untyped-call]
            pipe.execute()

    def lane(self, lane: Lane) -> LaneState:
        """How full a lane is.

        Raises:
            ServerUnreachableError: Redis can't be reached.
        """
        stream = self.settings.stream(lane)
        with reaching(self.client):
            backlog = int(self.client.xlen(stream))
            first = self.client.xrange(stream, count=1)
            pending = 0
            if self.client.exists(stream):
                groups = {as_text(group["name"]): group for group in self.client.xinfo_groups(stream)}
                pending = int(groups.get(GROUP, {}).get("pending", 0))
            seconds, micros = self.client.time()
        oldest = None
        if first:
            sent_ms = order(as_text(first[0][0]))[0]
            oldest = max(0.0, round(seconds + micros / 1e6 - sent_ms / 1000, 3))
        return LaneState(backlog, pending, oldest)

    def accepted(self) -> dict[Lane, int]:
        """How many counted documents were ever appended, by lane."""
        with reaching(self.client):
            counts = self.client.hmget(self._accepted, LANES)
        return {lane: int(count or 0) for lane, count in zip(LANES, counts, strict=True)}

    def full_embedded(self) -> list[disk.Server]:
        """Embedded servers whose disk is full, seen without asking them."""
        settings = self.settings
        return disk.embedded(settings.data_dir, postgres=settings.embedded_postgres, redis=settings.embedded_redis)

    def full_disks(self) -> list[disk.Server]:
        """Servers whose disk is full, as far as this process knows.

        Raises:
            ServerUnreachableError: Redis can't be reached.
        """
        found = set(self.full_embedded())
        with reaching(self.client):
            if self.client.exists(disk.key(self.settings.prefix)):
                found.add("postgres")
            if told(self.client, "persistence").get("aof_last_write_status") == "err":
                found.add("redis")
        return sorted(found)

    def workers(self) -> list[dict[str, Any]]:
        """What each running worker says of itself, as `sortline.reports.by_worker` puts it together."""
        return by_worker(self.intakes())

    def intakes(self) -> list[dict[str, Any]]:
        """The last report of each intake of each running worker (worker/presence.py writes it)."""
        with reaching(self.client):
            keys = sorted(self.client.scan_iter(match=f"{self.settings.prefix}:workers:*", count=1000))
            values = self.client.mget(keys) if keys else []
        return [orjson.loads(value) for value in values if value]

    @property
    def _accepted(self) -> str:
        return f"{self.settings.prefix}:accepted"

    def forgets(self) -> str:
        """Why Redis would not keep accepted documents on disk; empty: it keeps them, or the settings don't require it.

        Durable means appendfsync always or, from Redis 7.2, WAITAOF with a less frequent fsync.
        """
        if time.monotonic() < self._durable_until or not self.settings.require_durable_redis:
            return ""
        with reaching(self.client):
            try:
                answer = self.client.config_get("append*") | self.client.config_get("maxmemory*")
                config = {as_text(k): as_text(v) for k, v in answer.items()}
            except redis.exceptions.ResponseError:  # not allowed for this user, or for anybody on a rented server
                return (
                    "Redis refuses CONFIG GET, so it is unknown whether it keeps documents on disk; allow it, or set "
                    "SORTLINE_REQUIRE_DURABLE_REDIS=false if it does"
                )
            if config.get("appendonly") != "yes":
                return "Redis has no append-only file, so documents would not be durable; set appendonly yes"
            # The other policies delete keys that expire, and a lane does not.
            policy = config.get("maxmemory-policy", "")
            if policy.startswith("allkeys") and config.get("maxmemory") != "0":
                return f"Redis deletes whole lanes when its memory is full ({policy}); set maxmemory-policy noeviction"
            self._waits_for_disk = config.get("appendfsync") != "always"
            if self._waits_for_disk and _version(self.client) < (7, 2):
                return "Redis does not sync every write, so documents would not be durable; set appendfsync always"
        self._durable_until = time.monotonic() + 10
        return ""

    def _wait_for_disk(self) -> None:
        local, _replicas = self.client.execute_command("WAITAOF", 1, 0, 5000)  # type: ignore[no-untyped-call]
        if not local:
            raise ServerUnreachableError("Redis did not write to disk in time; retry with the same ids")


def check_name(name: str, value: object, limit: int) -> None:
    """Check an id or a source.

    Raises:
        InvalidDocumentError: it is not text, empty, too long, or has characters that Postgres can't store.
    """
    if not isinstance(value, str):
        raise InvalidDocumentError(f"{name} must be text, not {type(value).__name__}")
    if not value:
        raise InvalidDocumentError(f"{name} is missing or empty")
    if len(value) > limit:
        raise InvalidDocumentError(f"{name} has {len(value)} characters; the limit is {limit}")
    if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise InvalidDocumentError(f"{name} contains a NUL or half of a surrogate pair")


def check_text(raw: bytes) -> None:
    """Check a text as sent.

    Raises:
        InvalidDocumentError: it is empty or over 1 MiB.
    """
    if len(raw) > MAX_TEXT_BYTES:
        message = f"text has {len(raw):,} bytes; the limit is {MAX_TEXT_BYTES:,}"
        raise InvalidDocumentError(message, "text_too_large")
    if not raw or raw.isspace():
        raise InvalidDocumentError("text is empty", "empty_text")


def pack_entry(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """An entry's fields as readable ASCII JSON that keeps every byte (surrogateescape)."""
    return json.dumps([[k.decode("utf-8", "surrogateescape"), v.decode("utf-8", "surrogateescape")]
                       for k, v in fields]).encode("ascii")  # fmt: skip


def unpack_entry(raw: bytes) -> list[tuple[bytes, bytes]]:
    """The fields that `pack_entry` packed."""
    return [(k.encode("utf-8", "surrogateescape"), v.encode("utf-8", "surrogateescape"))
            for k, v in json.loads(raw)]  # fmt: skip


def order(entry_id: str) -> tuple[int, int]:
    """What entry ids are compared by: the millisecond in which Redis took the entry, and its number in it."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def check_lane(lane: str) -> Lane:
    """The lane with this name.

    Raises:
        InvalidDocumentError: there is none.
    """
    for known in LANES:
        if lane == known:
            return known
    raise InvalidDocumentError(f"there is no lane {lane!r}; give {' or '.join(LANES)}")


def _text(text: object) -> bytes:
    if not isinstance(text, str):
        raise InvalidDocumentError(f"text must be text, not {type(text).__name__}")
    raw = encode(text)
    check_text(raw)
    return raw


def _version(client: redis.Redis) -> tuple[int, ...]:
    return tuple(int(part) for part in str(told(client, "server").get("redis_version", "0.0")).split(".")[:2])
