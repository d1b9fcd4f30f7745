"""A network that breaks in every way, before a real worker: nothing is lost, doubled or left over (a short soak)."""

from collections.abc import Callable, Iterator

import psutil
import pytest

from benchmarks.load import Load
from benchmarks.losses import held
from benchmarks.network import KINDS, Network, network, strike
from benchmarks.poison import send
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from tests.worker.conftest import Line

pytestmark = [pytest.mark.usefixtures("model"), pytest.mark.redis_server]
Eventually = Callable[..., None]
AGAIN = ("reset redis", "reset postgres", "lose answers", "reset redis", "reset postgres")
_BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


@pytest.fixture
def way(line: Line) -> Iterator[Network]:
    if line.settings.redis.socket is None or not line.settings.postgres_url.hosts[0].startswith("/"):
        pytest.skip("the proxies stand before Unix sockets")
    with network(line.settings) as made:
        yield made


def test_a_network_that_breaks_loses_doubles_and_leaks_nothing(
    line: Line, start_worker, way: Network, eventually: Eventually
) -> None:
    behind = way.settings(line.settings)
    worker = start_worker({"redis_url": behind.redis_url, "database_url": behind.database_url})
    eventually(lambda: line.queue.workers())
    queue = DocumentQueue(connect(behind.redis), behind)
    load = Load(queue, per_s=200)
    load.start()
    eventually(lambda: line.predicted() > 0)
    for kind in (*KINDS, *AGAIN):
        before = line.predicted()
        strike(way, kind, hole_s=1, answers=2)
        eventually(lambda: line.predicted() > before)  # noqa: B023
        if kind == KINDS[-1]:  # by now every pool is as large as it gets
            descriptors, backends = psutil.Process(worker.process.pid).num_fds(), line.count(_BACKENDS)
    load.stop()
    queue.client.close()
    eventually(lambda: line.backlog() == 0)

    assert way.postgres.lost == 4
    assert line.predicted() == line.count("SELECT count(*) FROM documents") == len(load.accepted)
    assert {event["id"] for event in line.events()} == load.accepted
    assert held(line) == 0
    assert worker.process.poll() is None
    assert psutil.Process(worker.process.pid).num_fds() < descriptors + 6
    assert line.count(_BACKENDS) < backends + 6


def test_bad_entries_of_every_kind_among_good_ones(line: Line, start_worker, eventually: Eventually) -> None:
    start_worker({"max_attempts": 2})
    good, bad = send(line, 2100, deadly=0)

    eventually(lambda: line.backlog() == 0, 90)

    letters = "SELECT lane || entry_id, reason FROM dead_letters"
    assert line.rows(letters) == {lane + entry_id: reason for (lane, entry_id), reason in bad.items()}
    assert len(set(bad.values())) == 4
    assert line.predicted() == len(good)
    assert held(line) == 0
