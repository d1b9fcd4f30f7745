"""The worker's side of the document queue: read, hold, take over, acknowledge.

Redis 6.2 is enough. XPENDING IDLE finds stale entries and XCLAIM takes them. Unlike XAUTOCLAIM, this also gives their
delivery counts and the ids of entries that were deleted while pending.
"""

import os
import socket
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import redis

from sortline.events import ResultEvent
from sortline.queue import GROUP, order
from sortline.redis_client import connect
from sortline.settings import LANES, Lane, Settings
from worker.acknowledgement import attempts_fields, attempts_key, failed_field, pack
from worker.entry import Entry

# Deletes a consumer only if nothing is pending with it: XGROUP DELCONSUMER would drop its pending entries.
_REMOVE_CONSUMER = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
    return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return -1
"""
_FORGET_AFTER_MS = 3_600_000
_PENDING_PAGE = 1000  # pending entries that one `wake` checks


class Consumer:
    """One process's membership in the consumer groups of both lanes. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._lanes = {lane: settings.stream(lane) for lane in LANES}
        self._attempts = {lane: attempts_key(settings.prefix, lane) for lane in LANES}
        self._results, self._results_length = settings.results_stream, settings.results_length
        self._claim_idle_ms = int(settings.claim_idle_s * 1000)
        self._new: dict[Lane, set[bytes]] = {lane: set() for lane in LANES}
        self.clock_s = time.time() - time.monotonic()  # until it is measured
        self.name = unique_name()
        self.client = connect(settings.redis, protocol=2, max_connections=16, retry=None, socket_timeout=15)
        for command in ("XREADGROUP", "XCLAIM", "XPENDING"):
            self.client.set_response_callback(command, _raw)

    def measure_clock(self) -> None:
        """Measure how far Redis' clock, which entry ids are made of, is ahead of time.monotonic, which never jumps."""
        before = time.monotonic()
        seconds, micros = self.client.time()
        self.clock_s = seconds + micros / 1e6 - (before + time.monotonic()) / 2

    def appended_at(self, entry: Entry) -> float:
        """When an entry was appended, on the clock of time.monotonic."""
        return order(entry.entry_id)[0] / 1000 - self.clock_s

    def ensure_groups(self) -> None:
        """Create each lane's group, from the start of its stream, where it is missing."""
        for lane in LANES:
            try:
                self.client.xgroup_create(self._lanes[lane], GROUP, id="0", mkstream=True)
            except redis.exceptions.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def read(self, lane: Lane, count: int, block_ms: int | None) -> list[Entry]:
        """Read at most ``count`` new entries of a lane; waits ``block_ms`` for the first (None: does not wait)."""
        wait = () if block_ms is None else ("BLOCK", block_ms)
        stream = self._lanes[lane]
        try:
            reply = self._call("XREADGROUP", "GROUP", GROUP, self.name, "COUNT", count, *wait, "STREAMS", stream, ">")
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            self.ensure_groups()  # the stream was deleted, or Redis was restarted empty
            return []
        if not reply:
            return []
        return [Entry(lane, entry_id.decode(), fields) for entry_id, fields in reply[0][1] if fields]

    def take_over(self, lane: Lane, count: int) -> list[Entry]:
        """Claim entries idle for longer than claim_idle_s: a dead worker's, or some whose reply to us was lost.

        This also acknowledges entries that were deleted while pending.
        """
        stream, idle_ms = self._lanes[lane], self._claim_idle_ms
        try:
            stale = self._call("XPENDING", stream, GROUP, "IDLE", idle_ms, "-", "+", count)
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            self.ensure_groups()
            return []
        if not stale:
            return []
        deliveries = {entry_id: int(count_before) + 1 for entry_id, _, _, count_before in stale}
        reply = self._call("XCLAIM", stream, GROUP, self.name, idle_ms, *deliveries)
        claimed = {item[0]: item[1] for item in reply if item and item[1]}
        self._acknowledge_deleted(lane, [entry_id for entry_id in deliveries if entry_id not in claimed])
        return [Entry(lane, entry_id.decode(), fields, deliveries[entry_id]) for entry_id, fields in claimed.items()]

    def hold(self, lane: Lane, entry_ids: Sequence[str]) -> None:
        """Reset the idle time of exactly these entries, without counting a delivery."""
        for start in range(0, len(entry_ids), 1000):
            chunk = entry_ids[start : start + 1000]
            self._call("XCLAIM", self._lanes[lane], GROUP, self.name, 0, *chunk, "JUSTID")

    def is_unread(self, lane: Lane) -> bool:
        """Whether the lane has entries that were never delivered to the group."""
        stream = self._lanes[lane]
        try:
            groups = {group["name"]: group for group in self.client.xinfo_groups(stream)}
        except redis.exceptions.ResponseError as error:
            if "no such key" not in str(error):
                raise
            return False
        if GROUP.encode() not in groups:
            return False  # the next read creates it
        last = groups[GROUP.encode()]["last-delivered-id"].decode()
        return bool(self.client.xrange(stream, f"({last}", "+", count=1))

    def wake(self, lane: Lane) -> None:
        """Correct delivery times that lie in the future, so that these entries can be taken over; call it regularly.

        Redis notes the delivery time of an entry by the wall clock. After that clock is set back, the entries of a dead
        worker have an idle time of 0, and nobody takes them over until the clock has caught up. If the idle time of an
        entry is 0 in two consecutive calls, this claims the entry for the consumer that has it. If that worker is alive
        and had just refreshed the entry, the claim only refreshes it once more.
        """
        stream = self._lanes[lane]
        try:
            pending = self._call("XPENDING", stream, GROUP, "-", "+", _PENDING_PAGE)
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            return
        new = {entry_id: consumer for entry_id, consumer, idle_ms, _ in pending if not idle_ms}
        for entry_id in self._new[lane] & new.keys():
            if new[entry_id] != self.name.encode():
                self._call("XCLAIM", stream, GROUP, new[entry_id], 0, entry_id, "JUSTID")
        self._new[lane] = set(new)

    def acknowledge(self, entries: Sequence[Entry], results: Sequence[ResultEvent]) -> None:
        """Publish the results, then acknowledge and delete the entries: all of it, or nothing.

        Raises:
            redis.exceptions.ResponseError: Redis refused a command, which the message names; nothing was done.
            redis.exceptions.OutOfMemoryError: Redis has no memory for the results; nothing was done.
        """
        packed = pack(
            entries,
            results,
            lanes=self._lanes,
            attempts=self._attempts,
            results=self._results,
            results_length=self._results_length,
        )
        pool = self.client.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_packed_command([packed])  # type: ignore[no-untyped-call]
            connection.read_response()
        except redis.exceptions.ResponseError as error:
            # For a script, older servers put the kind of error in the middle of the message.
            if "OOM command not allowed" in str(error):
                raise redis.exceptions.OutOfMemoryError(str(error)) from None
            raise
        except BaseException:
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        finally:
            pool.release(connection)

    def drop(self, entries: Sequence[Entry]) -> None:
        """Delete and acknowledge the entries without publishing events, for a Redis that has no memory for events.

        Deleting comes first: if the process is killed between the two, deleted entries stay pending, and `take_over`
        clears them up.
        """
        for lane in LANES:
            if ids := [entry.entry_id for entry in entries if entry.lane == lane]:
                self.client.xdel(self._lanes[lane], *ids)
                self.client.xack(self._lanes[lane], GROUP, *ids)
                self.client.hdel(self._attempts[lane], *attempts_fields(ids))

    def attempts(self, entry: Entry) -> int:
        """How often the entry has failed on its own."""
        return int(self.client.hget(self._attempts[entry.lane], entry.entry_id) or 0)

    def count_attempt(self, entry: Entry, by: int = 1) -> int:
        """Count an attempt (``by`` -1: take one back), and return the new count."""
        entry.deliveries = max(entry.deliveries, 2)  # so that acknowledging it deletes the count
        return int(self.client.hincrby(self._attempts[entry.lane], entry.entry_id, by))

    def note_failure(self, entry: Entry) -> None:
        """Note that an attempt ended with the document's own exception."""
        self.client.hincrby(self._attempts[entry.lane], failed_field(entry.entry_id))

    def has_failed(self, entry: Entry) -> bool:
        """Whether an attempt ended with the document's own exception, not just with the death of the process."""
        return self.client.hexists(self._attempts[entry.lane], failed_field(entry.entry_id))

    def leave(self) -> None:
        """Leave the groups in which nothing is pending with this consumer."""
        for lane in LANES:
            self._remove(lane, self.name)

    def forget_dead(self) -> None:
        """Remove consumers that have been idle for an hour and have nothing pending."""
        for lane in LANES:
            try:
                consumers = self.client.xinfo_consumers(self._lanes[lane], GROUP)
            except redis.exceptions.ResponseError as error:
                if "no such key" not in str(error) and "NOGROUP" not in str(error):
                    raise
                continue  # nothing was ever sent to this lane
            for consumer in consumers:
                name = consumer["name"].decode()
                if consumer["idle"] > _FORGET_AFTER_MS and not consumer["pending"] and name != self.name:
                    self._remove(lane, name)

    def _remove(self, lane: Lane, name: str) -> None:
        try:
            self.client.eval(_REMOVE_CONSUMER, 1, self._lanes[lane], GROUP, name)
        except redis.exceptions.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise

    def _acknowledge_deleted(self, lane: Lane, entry_ids: Iterable[bytes]) -> None:
        stream = self._lanes[lane]
        for entry_id in entry_ids:
            if not self.client.xrange(stream, entry_id, entry_id):
                self.client.xack(stream, GROUP, entry_id)
                self.client.hdel(self._attempts[lane], *attempts_fields([entry_id.decode()]))

    def _call(self, *command: Any) -> Any:
        return self.client.execute_command(*command)  # type: ignore[no-untyped-call]


def unique_name() -> str:
    """A name that no other process has or had: `host-4711-1a2b3c4d`."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _raw(reply: Any, **_options: Any) -> Any:
    return reply
