"""Acknowledge entries: one Lua script publishes their events, then acknowledges and deletes them, or does nothing.

MULTI would not do. If Redis refuses one of its commands, such as an XADD to a results key of another type, the commands
after it still run: the entries would be acknowledged and their events lost. A script stops at the first refusal and
reports it. So the script checks the types of its keys before its first write.
"""

from collections.abc import Iterable, Mapping, Sequence

from sortline.events import ResultEvent, pack_command
from sortline.queue import GROUP
from sortline.settings import LANES, Lane
from worker.entry import Entry

# Keys: the results stream, then each lane's stream, then each lane's hash of attempts.
# Arguments: the group; the length of the results stream; the number of events and their values; for each lane, the
# number of entries and their ids; for each lane, the number of fields to delete from its hash of attempts, and these.
_END = """
for place, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= (place <= 3 and 'stream' or 'hash') then
    return redis.error_reply('WRONGTYPE the key ' .. key .. ' is a ' .. kind)
  end
end
local at = 3
for _ = 1, ARGV[at] do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', FIELDS)
  at = at + WIDTH
end
at = at + 1
local function each(call)
  local last = at + ARGV[at]
  for first = at + 1, last, 1000 do call(unpack(ARGV, first, math.min(first + 999, last))) end
  at = last + 1
end
for lane = 2, 3 do
  each(function(...)
    redis.call('XACK', KEYS[lane], ARGV[1], ...)
    redis.call('XDEL', KEYS[lane], ...)
  end)
end
for lane = 4, 5 do each(function(...) redis.call('HDEL', KEYS[lane], ...) end) end
return 1
"""
_FIELDS = ResultEvent._fields
_SCRIPT = _END.replace("WIDTH", str(len(_FIELDS))).replace(
    "FIELDS", ", ".join(f"'{name}', ARGV[at + {place}]" for place, name in enumerate(_FIELDS, 1))
)


def pack(
    entries: Sequence[Entry],
    events: Sequence[ResultEvent],
    *,
    lanes: Mapping[Lane, str],
    attempts: Mapping[Lane, str],
    results: str,
    results_length: int,
) -> bytes:
    """The command that does it. Redis answers 1, or an error if it has done nothing.

    Args:
        lanes: Redis key of each lane's stream.
        attempts: Redis key of each lane's hash of attempts (`attempts_key`).
        results: Redis key of the results stream.
        results_length: events kept in it, about.
    """
    ids = _by_lane(entries)
    retried = {
        lane: attempts_fields(entry.entry_id for entry in entries if entry.lane == lane and entry.deliveries > 1)
        for lane in LANES
    }
    keys = [results, *(lanes[lane] for lane in LANES), *(attempts[lane] for lane in LANES)]
    head: list[str | int] = ["EVAL", _SCRIPT, len(keys), *keys, GROUP, results_length, len(events)]
    tail: list[str | int] = []
    for found in (lists[lane] for lists in (ids, retried) for lane in LANES):
        tail.append(len(found))
        tail.extend(found)
    return pack_command(head, events, tail)


def attempts_key(prefix: str, lane: Lane) -> str:
    """Redis key of the hash that counts a lane's failed attempts, by entry id."""
    return f"{prefix}:attempts:{lane}"


def failed_field(entry_id: str) -> str:
    """The field that counts the attempts that ended with the document's own exception, not with the process."""
    return f"{entry_id}:failed"


def attempts_fields(entry_ids: Iterable[str]) -> list[str]:
    """All fields that these entries may have in that hash."""
    return [field for entry_id in entry_ids for field in (entry_id, failed_field(entry_id))]


def _by_lane(entries: Sequence[Entry]) -> Mapping[Lane, list[str]]:
    return {lane: [entry.entry_id for entry in entries if entry.lane == lane] for lane in LANES}
