"""Redis refuses a part of what it is asked for: what depends on it is not done, it is told, and mended it goes on."""

from collections.abc import Callable

import pytest
import redis
from sqlalchemy.orm import Session

from db.queries import status
from housekeeping.outbox import sweep
from monitoring.status import line_status
from sortline.errors import ServerUnreachableError
from sortline.events import ResultEvent
from sortline.queue import Document, DocumentQueue
from sortline.settings import Settings
from worker.consumer import Consumer

pytestmark = [pytest.mark.usefixtures("model"), pytest.mark.redis_server]
Eventually = Callable[..., None]


@pytest.mark.parametrize("key", ["results", "documents:bulk", "attempts:live"])
def test_an_end_that_is_refused_in_part_is_not_done_at_all(settings: Settings, session: Session, key: str) -> None:
    consumer = Consumer(settings)
    consumer.ensure_groups()
    queue = DocumentQueue(consumer.client, settings)
    queue.append([Document("a", "one"), Document("b", "two")])
    entries = consumer.read("live", 10, None)
    entries[0].deliveries = 2
    consumer.client.delete(f"{settings.prefix}:{key}")
    consumer.client.set(f"{settings.prefix}:{key}", "of another type")
    events = [ResultEvent("classified", "default", entry.id) for entry in entries]

    with pytest.raises(redis.exceptions.ResponseError, match=f"{settings.prefix}:{key} is a string"):
        consumer.acknowledge(entries, events)

    assert state(queue) == (2, 2)
    assert not consumer.client.exists(settings.results_stream) or key == "results"
    consumer.client.delete(f"{settings.prefix}:{key}")
    consumer.acknowledge(entries, events)
    assert state(queue) == (0, 0)
    assert consumer.client.xlen(settings.results_stream) == 2


def test_lanes_that_nobody_used_have_no_dead_consumers(settings: Settings) -> None:
    consumer = Consumer(settings)
    consumer.forget_dead()
    consumer.client.xadd(settings.stream("live"), {"id": "1"})
    consumer.forget_dead()


def test_an_entry_waits_until_its_event_is_taken(line, start_worker, eventually: Eventually, session) -> None:
    line.client.set(line.settings.results_stream, "not a stream")
    worker = start_worker()
    line.send({"a": "one"})
    line.client.xadd(line.settings.stream("live"), {"id": "bad"})

    eventually(lambda: line.predicted() == 1 and line.letters() == {"bad": "bad_entry"})
    eventually(lambda: "SortlineRedisRefuses" in alarms(line, session))
    assert "is a string" in alarms(line, session)["SortlineRedisRefuses"]
    assert line.backlog() == line.pending() == 2

    line.client.delete(line.settings.results_stream)
    eventually(lambda: line.backlog() == 0)
    assert sorted(event["event"] for event in line.events()) == ["classified", "dead"]
    assert worker.process.poll() is None


def test_a_lane_of_another_type_keeps_nothing_of_the_other(line, start_worker, eventually: Eventually, session) -> None:
    line.client.set(line.settings.stream("live"), "not a stream")
    line.client.set(f"{line.settings.prefix}:attempts:live", "not a hash")
    worker = start_worker()
    ghost = Consumer(line.settings)
    ghost.client.xgroup_create(line.settings.stream("bulk"), "workers", id="0", mkstream=True)
    line.send({"left": "by another"}, "bulk")
    assert ghost.read("bulk", 1, None)
    line.send({"b": "two"}, "bulk")

    eventually(lambda: line.predicted() == 2)
    with pytest.raises(ServerUnreachableError, match="WRONGTYPE"):
        line.send({"a": "one"})
    assert worker.process.poll() is None

    line.client.delete(line.settings.stream("live"))
    line.send({"c": "three"})
    eventually(lambda: line.predicted() == 3)
    line.client.delete(f"{line.settings.prefix}:attempts:live")
    eventually(lambda: line.backlog() == 0)


def test_an_outbox_that_is_refused_keeps_its_events(settings: Settings, session: Session, redis_client) -> None:
    from db.queries import outbox

    outbox.put_off(session, [ResultEvent("classified", "s", "a")])
    session.commit()
    redis_client.set(settings.results_stream, "not a stream")
    with pytest.raises(ServerUnreachableError, match="WRONGTYPE"):
        sweep(settings)
    assert status.unsent(session)[0] == 1

    redis_client.delete(settings.results_stream)
    assert sweep(settings) == 1


def alarms(line, session: Session) -> dict[str, str]:
    session.rollback()
    return {each["name"]: each["said"] for each in line_status(session, line.queue, line.settings)["alarms"]}


def state(queue: DocumentQueue) -> tuple[int, int]:
    lane = queue.lane("live")
    return lane.backlog, lane.pending
