"""Redis's users as deployed: a producer appends and nothing else, Sortline's user does all of the rest."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker

from housekeeping.rewrite import rewrite_redis
from sortline.events import ResultEvent
from sortline.queue import Document, DocumentQueue
from sortline.redis_client import connect
from sortline.settings import LANES, Settings
from worker.consumer import Consumer
from worker.health import is_alive

pytestmark = pytest.mark.redis_server

LIVE = "sortline:documents:live"
RedisAs = Callable[[str], redis.Redis]


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(_env_file=None, redis_url=redis_url, data_dir=tmp_path, claim_idle_s=0.05)


def test_a_producer_may_append_to_both_lanes(redis_as: RedisAs) -> None:
    producer = redis_as("producer")
    for lane in LANES:
        assert producer.xadd(f"sortline:documents:{lane}", {"id": "1", "text": "card lost"})
    assert redis_as("sortline").xlen(LIVE) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", "sortline:results", "*", "event", "classified"),
        ("XADD", "sortline:documents:other", "*", "id", "1"),
        ("XADD", "another", "*", "id", "1"),
        ("GET", "sortline:workers:x"),
        ("SET", LIVE, "x"),
        ("DEL", LIVE),
        ("XLEN", LIVE),
        ("XRANGE", LIVE, "-", "+"),
        ("XREAD", "STREAMS", LIVE, "0"),
        ("XREADGROUP", "GROUP", "workers", "thief", "STREAMS", LIVE, ">"),
        ("XDEL", LIVE, "1-1"),
        ("XTRIM", LIVE, "MAXLEN", "0"),
        ("XGROUP", "DESTROY", LIVE, "workers"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("PUBLISH", "celeryev", "x"),
        ("SUBSCRIBE", "celeryev"),
        ("EVAL", "return 1", "0"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("INFO",),
        ("SELECT", "1"),
        ("FLUSHALL",),
        ("SHUTDOWN",),
        ("MULTI",),
    ],
)
def test_a_producer_may_do_nothing_else(redis_as: RedisAs, command: tuple[str, ...]) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        redis_as("producer").execute_command(*command)


@pytest.mark.parametrize("command", [("GET", "x"), ("XADD", LIVE, "*", "id", "1"), ("INFO",), ("ACL", "LIST")])
def test_the_health_checks_user_may_only_ping(redis_port: int, command: tuple[str, ...]) -> None:
    health = redis.Redis(port=redis_port, username="health", password="any")
    assert health.ping()
    with pytest.raises(redis.exceptions.NoPermissionError):
        health.execute_command(*command)


def test_nobody_gets_in_without_a_name_or_with_a_wrong_password(redis_port: int) -> None:
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=redis_port).ping()
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=redis_port, username="producer", password="guess").ping()


@pytest.mark.parametrize(
    "command",
    [("FLUSHALL",), ("FLUSHDB",), ("SHUTDOWN",), ("CONFIG", "SET", "appendonly", "no"), ("ACL", "LIST"),
     ("KEYS", "*"), ("DEBUG", "SLEEP", "0"), ("REPLICAOF", "NO", "ONE"), ("SAVE",)],
)  # fmt: skip
def test_sortlines_user_can_not_harm_the_server(redis_as: RedisAs, command: tuple[str, ...]) -> None:
    # Before it looks at the user's rights, Redis 7 refuses DEBUG to everybody whom its configuration does not name.
    refusals = redis.exceptions.ResponseError if command[0] == "DEBUG" else redis.exceptions.NoPermissionError
    with pytest.raises(refusals, match=r"no permissions|not allowed"):
        redis_as("sortline").execute_command(*command)


def test_sortlines_user_finds_redis_durable(redis_as: RedisAs) -> None:
    client = redis_as("sortline")
    found = {**client.config_get("append*"), **client.config_get("maxmemory*"), **client.config_get("save")}
    assert (found["appendonly"], found["appendfsync"]) == ("yes", "always")
    assert found["maxmemory-policy"] == "noeviction"
    assert int(found["maxmemory"]) > 0
    assert client.info("server")["redis_version"]


def test_sortlines_user_may_rewrite_the_append_only_file_and_nothing_deleted_stays_in_it(redis_as: RedisAs) -> None:
    assert rewrite_redis(redis_as("sortline")) == []


def test_sortlines_user_takes_a_document_from_the_door_to_the_results(settings: Settings) -> None:
    queue = DocumentQueue(connect(settings.redis), settings)
    queue.append([Document("1", "card lost"), Document("2", "card found")], durable=True)

    left, taker = Consumer(settings), Consumer(settings)
    left.ensure_groups()
    assert [entry.deliveries for entry in left.read("live", 10, 10)] == [1, 1]
    time.sleep(0.1)
    entries = taker.take_over("live", 10)
    for entry in entries:
        entry.parse()
    assert [(entry.id, entry.deliveries) for entry in entries] == [("1", 2), ("2", 2)]
    taker.hold("live", [entry.entry_id for entry in entries])
    assert taker.count_attempt(entries[0]) == 1
    taker.acknowledge(entries, [ResultEvent("classified", "default", entry.id) for entry in entries])
    taker.forget_dead()
    left.leave()
    taker.leave()

    state = queue.lane("live")
    assert (state.backlog, state.pending) == (0, 0)
    assert queue.client.xlen(settings.results_stream) == 2


def test_the_health_check_sees_a_worker_of_this_host(settings: Settings) -> None:
    host = socket.gethostname()
    client = connect(settings.redis)
    queue = DocumentQueue(client, settings)
    assert not is_alive(queue, host)
    client.set("sortline:workers:w", f'{{"host": "{host}", "pid": 1}}', ex=10)
    assert is_alive(queue, host)
    assert not is_alive(queue, "another")


def test_sortlines_user_runs_a_celery_worker_in_the_brokers_database(settings: Settings) -> None:
    done = threading.Event()
    app = Celery("probe", broker=settings.celery_broker.url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        task_default_queue="training",
        worker_send_task_events=True,
    )

    @app.task(name="probe.done")
    def finish() -> None:
        done.set()

    options = {"pool": "solo", "perform_ping_check": False, "shutdown_timeout": 30}
    with start_worker(app, **options) as worker:
        finish.delay()
        assert done.wait(20)
        assert app.control.ping(destination=[worker.hostname], timeout=10)
        assert app.control.inspect(timeout=10).registered()
    assert settings.celery_broker.url.endswith("/1")
