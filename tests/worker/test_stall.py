"""A lane that stands still is told of and ends the process; one that only waits does not."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from sortline.queue import Document, DocumentQueue
from sortline.settings import Settings
from worker.consumer import Consumer
from worker.entry import Entry
from worker.held import Held
from worker.stall import CHECKS, STALLED, StallWatch

Eventually = Callable[..., None]


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("leaks", "1 entry is held in lane live, but nothing processes it; this has lasted 1 s"),
        (
            "deaf",
            "lane live has entries and this process has room for them, but it does not read them; this has lasted 1 s",
        ),
    ],
)
def test_a_worker_that_stands_still_ends(line, start_worker, how: str, said: str) -> None:
    worker = start_worker({"stalled_s": 1.0}, module=f"stalled {how} worker")
    line.send({"a": "one"})

    assert worker.process.wait(60) == 70
    assert said in worker.log.read_text()


def test_only_a_lane_that_could_be_read_stands_still(settings: Settings, redis_client: redis.Redis) -> None:
    consumer, held = Consumer(settings), Held(2)
    state: Any = SimpleNamespace(room=True, idle=False)
    watch = StallWatch(settings.stalled_s, consumer, held, lambda _: state.room, lambda: state.idle)

    def looks() -> list[str | None]:
        return [watch.check() for _ in range(CHECKS + 1)]

    assert not any(looks())  # there is nothing to read
    consumer.ensure_groups()
    DocumentQueue(redis_client, settings).append([Document("a", "one"), Document("b", "two")])
    state.room = False
    assert not any(looks())  # it waits for what is on its way
    assert STALLED.labels("live")._value.get() == 0

    state.room = True
    found = looks()
    assert found[:-1].count(None) >= CHECKS - 2 and found[-1] is not None
    assert STALLED.labels("live")._value.get() >= settings.stalled_s

    (entry, _) = held.add(consumer.read("live", 2, None))
    assert isinstance(entry, Entry) and not any(looks())  # the other one is on its way
    state.idle = True
    assert looks()[-1] == "2 entries are held in lane live, but nothing processes them"
