"""`poison`: one entry in a hundred is bad, of every kind there is; each is told, and the others are classified."""

import random
import time
from collections import Counter
from collections.abc import Iterator

from sqlalchemy import text

from benchmarks.kept import Kept
from benchmarks.losses import Line, drain, held, until
from benchmarks.model import register_stub
from benchmarks.stack import result, say, stack, stored
from db.connection import get_engine
from sortline.settings import LANES, Lane

_SHARE = 100  # one in so many is bad
_AT_ONCE = 500
_DRAIN_S = 1500.0
_DEEP = b'{"a":' * 1100 + b"1" + b"}" * 1100

Fields = dict[bytes, bytes]

# What a producer can get wrong, by the reason of its dead letter; %d is the entry's number.
BAD_ENTRIES: list[tuple[str, Fields]] = [
    ("bad_entry", {b"text": b"no id"}),
    ("bad_entry", {b"id": b"", b"text": b"an empty id"}),
    ("bad_entry", {b"id": b"\xff\xfe", b"text": b"an id that is not UTF-8"}),
    ("bad_entry", {b"id": b"i" * 201, b"text": b"a long id"}),
    ("bad_entry", {b"id": b"a\x00b", b"text": b"an id with a NUL"}),
    ("bad_entry", {b"id": b"p%d", b"source": b"s" * 101, b"text": b"a long source"}),
    ("bad_entry", {b"id": b"p%d"}),
    ("bad_entry", {b"nothing": b"known"}),
    ("empty_text", {b"id": b"p%d", b"text": b""}),
    ("empty_text", {b"id": b"p%d", b"text": b" \n\t"}),
    ("text_too_large", {b"id": b"p%d", b"text": b"x" * (2**20 + 1)}),
    ("bad_entry", {b"id": b"p%d", b"text": b"t", b"meta": b"[1]"}),
    ("bad_entry", {b"id": b"p%d", b"text": b"t", b"meta": b"{"}),
    ("bad_entry", {b"id": b"p%d", b"text": b"t", b"meta": b"\xff"}),
    ("bad_entry", {b"id": b"p%d", b"text": b"t", b"meta": _DEEP}),
    ("bad_entry", {b"id": b"p%d", b"text": b"t", b"meta": b'{"a":"' + b"x" * 8192 + b'"}'}),
    ("bad_entry", {b"id": b"p%d", b"text": b"t", b"meta": b'{"a":"\\u0000"}'}),
    ("bad_entry", {b"id": b"p%d", b"text": b"t", b"meta": b'{"a":"\\ud800"}'}),
    ("bad_entry", {b"id": b"p%d", b"text": b"t", b"meta": b'{"a":[1e400]}'}),
    ("bad_entry", {b"id": b"p%d", b"text": b"t", b"meta": b'{"a":1,"a":2}'}),
    ("failed", {b"id": b"p%d", b"text": b"RAISE"}),
]
# What ends or stops the worker that computes it: few, for each costs it some seconds, five times.
DEADLY: list[tuple[str, Fields]] = [
    ("worker_died", {b"id": b"p%d", b"text": b"KILL"}),
    ("worker_died", {b"id": b"p%d", b"text": b"HANG"}),
]
# What is odd, and a document all the same.
ODD = [b"a\x00b", b"a\xed\xa0\x80b", b"caf\xe9", b"w" * 100_000, b"\xf0\x9f\x98\x80", b"<script>", b"%s %d"]


def entries(documents: int, deadly: int) -> Iterator[tuple[str, Fields]]:
    """Entries, each with the reason of its dead letter; empty: it is a document."""
    at = {documents * (i + 1) // (deadly + 1): DEADLY[i % len(DEADLY)] for i in range(deadly)}
    for number in range(documents):
        if number in at or number % _SHARE == _SHARE // 2:
            reason, fields = at.get(number) or BAD_ENTRIES[number // _SHARE % len(BAD_ENTRIES)]
            yield reason, {name: value.replace(b"p%d", b"p%d" % number) for name, value in fields.items()}
        else:
            body = ODD[number // _SHARE % len(ODD)] if number % _SHARE == 0 else b"a good text, %d" % number
            yield "", {b"id": b"g%d" % number, b"text": body}


def send(made: Line, documents: int, deadly: int) -> tuple[set[str], dict[tuple[str, str], str]]:
    """Append them to both lanes; returns ids of the documents, and the reason of each bad one by lane and entry id."""
    good: set[str] = set()
    bad: dict[tuple[str, str], str] = {}
    page: list[tuple[str, Fields]] = []
    lanes = random.Random(17)

    def append() -> None:
        lane: Lane = lanes.choice(LANES)
        with made.client.pipeline(transaction=False) as pipe:
            for _, fields in page:
                pipe.xadd(made.settings.stream(lane), fields)  # type: ignore[arg-type]  # redis-py's dict of fields is invariant
            ids = [entry_id.decode() for entry_id in pipe.execute()]
        bad.update({(lane, entry_id): reason for entry_id, (reason, _) in zip(ids, page, strict=True) if reason})
        good.update(fields[b"id"].decode() for reason, fields in page if not reason)
        page.clear()

    for each in entries(documents, deadly):
        page.append(each)
        if len(page) == _AT_ONCE:
            append()
            until(lambda: made.backlog() < 50 * _AT_ONCE, _DRAIN_S)
    append()
    return good, bad


def poison(documents: int = 100_000, module: str = "celery -A worker", name: str = "poison", deadly: int = 4) -> int:
    """Fields: documents, bad (by reason), lost (documents without a prediction, bad entries without a letter of their
    reason), duplicates (predictions and letters too many), held (entries that the worker still holds at the end),
    restarts (of the worker), seconds.
    """
    with stack("poison", classifier="faulty:load", claim_idle_s=2.0, watch_interval_s=0.3, stuck_s=5.0) as made:
        register_stub(made, uri="faulty:1,2")
        with Kept(lambda: made.start_worker(module)) as worker:
            made.wait_ready()
            began = time.monotonic()
            good, bad = send(made, documents, deadly)
            say(f"{name}: {len(good):,} documents and {len(bad):,} bad entries are sent")
            drain(made, _DRAIN_S)
            seconds = time.monotonic() - began
            left = held(made)
        with get_engine(made.settings.postgres_url).connect() as connection:
            letters = {
                (row.lane, row.entry_id): row.reason
                for row in connection.execute(text("SELECT lane, entry_id, reason FROM dead_letters"))
            }
        rows = stored(made)
        wrong = {entry: (reason, letters.get(entry)) for entry, reason in bad.items() if letters.get(entry) != reason}
        say(f"{name}: without a prediction {sorted(good - rows.keys())[:10]}; without their letter {wrong}")
        lost = len(good - rows.keys()) + len(wrong)
        duplicates = sum(count - 1 for count in rows.values()) + len(letters.keys() - bad.keys())
        result(
            name, documents=documents, bad=dict(Counter(bad.values())), lost=lost, duplicates=duplicates,
            held=left, restarts=worker.started_again, seconds=round(seconds, 1),
        )  # fmt: skip
    return lost + duplicates + left
