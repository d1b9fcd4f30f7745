"""The holes an intake can have (DESIGN.md 3), one test each: real processes, killed for real."""

import os
import signal
import time
from collections.abc import Callable

import pytest
import redis
from sqlalchemy import text

from sortline.queue import GROUP
from worker.consumer import Consumer

pytestmark = [pytest.mark.usefixtures("model"), pytest.mark.redis_server]
Eventually = Callable[..., None]


def test_a_killed_workers_entries_are_taken_over(line, start_worker, eventually: Eventually) -> None:
    line.send({f"d{i}": f"text {i}" for i in range(3000)} | {"slow": "SLOW"}, "bulk")
    for _ in range(3):
        worker = start_worker()
        before = line.predicted()
        eventually(lambda: line.predicted() > before or line.backlog() == 0, 120)  # noqa: B023 - called at once
        worker.kill()
    start_worker()

    eventually(lambda: line.backlog() == 0, 60)

    assert line.predicted() == 3001
    assert line.count("SELECT count(*) FROM documents") == 3001


def test_the_kill_test_can_see_loss(line, start_worker, eventually: Eventually) -> None:
    """The negative control: a worker that acknowledges before it commits does lose documents."""
    line.send({f"d{i}": f"text {i} {'SLOW' if i % 500 == 0 else ''}" for i in range(3000)}, "bulk")
    worker = start_worker(module="early_acknowledgement worker")
    eventually(lambda: line.backlog() < 3000)
    worker.kill()
    start_worker()
    eventually(lambda: line.backlog() == 0, 60)
    assert line.predicted() < 3000


def test_lost_replies_of_ones_own_are_taken_over(line, start_worker, eventually: Eventually) -> None:
    line.send({"a": "one"})
    ghost = Consumer(line.settings)
    ghost.ensure_groups()
    assert len(ghost.read("live", 10, None)) == 1  # the reply is lost: nobody works on it
    start_worker()

    eventually(lambda: line.predicted() == 1 and line.pending() == 0)


def test_a_slow_worker_is_not_robbed(line, start_worker, eventually: Eventually) -> None:
    start_worker()
    start_worker()
    eventually(lambda: len(line.queue.workers()) == 2)
    line.send({"slow": "SLOW: three times the take-over time"})

    eventually(lambda: line.predicted() == 1)
    time.sleep(1)

    assert len(line.events()) == 1


def test_the_group_is_made_again_when_the_stream_is_gone(line, start_worker, eventually: Eventually) -> None:
    start_worker()
    line.send({"a": "one"})
    eventually(lambda: line.predicted() == 1)
    line.client.delete(line.settings.stream("live"), line.settings.stream("bulk"))

    line.send({"b": "two"})

    eventually(lambda: line.predicted() == 2)


def test_entries_deleted_while_pending_are_acknowledged(line, start_worker, eventually: Eventually) -> None:
    entry_id = line.send({"a": "one"})[0]
    ghost = Consumer(line.settings)
    ghost.ensure_groups()
    ghost.read("live", 10, None)
    line.client.xdel(line.settings.stream("live"), entry_id)
    start_worker()

    eventually(lambda: line.pending() == 0)
    assert line.predicted() == 0


def test_a_document_that_raises_becomes_a_dead_letter_alone(line, start_worker, eventually: Eventually) -> None:
    texts = {f"d{i}": f"text {i}" for i in range(200)}
    line.send(texts | {"bad": "RAISE"})
    start_worker()

    eventually(lambda: line.backlog() == 0)

    assert line.letters() == {"bad": "failed"}
    assert line.predicted() == 200
    assert line.count("SELECT attempts FROM dead_letters") == 5
    assert line.client.hlen(f"{line.settings.prefix}:attempts:live") == 0


def test_a_document_that_kills_the_worker_becomes_a_dead_letter(line, start_worker, eventually: Eventually) -> None:
    line.send({f"d{i}": f"text {i}" for i in range(50)} | {"deadly": "KILL"})
    deadline = time.monotonic() + 90
    while line.backlog() and time.monotonic() < deadline:
        worker = start_worker({"claim_idle_s": 0.5, "max_attempts": 2})
        while worker.process.poll() is None and line.backlog():
            time.sleep(0.1)
        worker.end()

    assert line.letters() == {"deadly": "worker_died"}
    assert line.predicted() == 50


def test_a_failed_document_whose_worker_ends_before_its_letter_has_failed(
    line, start_worker, eventually: Eventually
) -> None:
    """Its last attempt was counted, its letter was not committed: no worker has died of it."""
    (entry_id,) = line.send({"bad": "RAISE"})
    line.client.hset(f"{line.settings.prefix}:attempts:live", mapping={entry_id: 5, f"{entry_id}:failed": 5})
    ghost = Consumer(line.settings)
    ghost.ensure_groups()
    (entry,) = ghost.read("live", 1, None)
    for _ in range(2):  # delivered three times: to be computed alone
        ghost.client.xclaim(line.settings.stream("live"), GROUP, ghost.name, 0, [entry.entry_id])
    start_worker()

    eventually(lambda: line.backlog() == 0)

    assert line.letters() == {"bad": "failed"}
    assert line.client.hlen(f"{line.settings.prefix}:attempts:live") == 0


def test_a_hanging_forward_pass_ends_the_process(line, start_worker) -> None:
    worker = start_worker({"stuck_s": 2.0})
    line.send({"hang": "HANG"})
    assert worker.process.wait(30) == 70
    assert line.backlog() == 1


def test_a_redelivered_entry_re_emits_the_stored_prediction(line, start_worker, eventually: Eventually) -> None:
    """The crash between commit and acknowledgement: the work is repeated and changes nothing."""
    start_worker()
    line.send({"a": "one"})
    eventually(lambda: line.predicted() == 1)
    line.session.execute(text("UPDATE predictions SET confidence = 0.5, decision = 'review'"))
    line.session.commit()

    line.send({"a": "one"})

    eventually(lambda: len(line.events()) == 2)
    again = line.events()[1]
    assert (float(again["confidence"]), again["decision"]) == (0.5, "review")
    assert line.predicted() == 1


def test_refused_rows_are_bisected_and_only_the_bad_one_dies(line, start_worker, eventually: Eventually) -> None:
    line.session.execute(text("ALTER TABLE documents ADD CONSTRAINT no_devil CHECK (text <> 'devil')"))
    line.session.commit()
    line.send({f"d{i}": f"text {i}" for i in range(100)} | {"x": "devil"})
    start_worker()

    eventually(lambda: line.backlog() == 0)

    assert line.letters() == {"x": "failed"}
    assert line.predicted() == 100


def test_an_outage_of_redis_is_waited_out(line, start_worker, eventually: Eventually) -> None:
    worker = start_worker()
    eventually(lambda: line.queue.workers())
    for _ in range(3):  # every connection is cut, again and again
        line.send({f"d{time.monotonic_ns()}": "text" for _ in range(1)})
        line.client.client_kill_filter(_type="normal", skipme=True)
        time.sleep(0.3)

    eventually(lambda: line.predicted() == 3 and line.backlog() == 0)
    assert worker.process.poll() is None


def test_an_outage_of_postgres_is_waited_out_and_counts_no_attempt(line, start_worker, eventually: Eventually) -> None:
    worker = start_worker()
    eventually(lambda: line.queue.workers() and line.queue.workers()[0]["model_version"])
    line.session.execute(text("ALTER TABLE predictions RENAME TO away"))
    line.session.commit()
    line.send({"a": "one"})
    eventually(lambda: "Postgres is unavailable" in worker.log.read_text())
    assert line.client.hlen(f"{line.settings.prefix}:attempts:live") == 0
    line.session.execute(text("ALTER TABLE away RENAME TO predictions"))
    line.session.commit()

    eventually(lambda: line.predicted() == 1 and line.backlog() == 0)
    assert line.letters() == {}


def test_a_dead_consumer_is_removed_only_when_it_holds_nothing(line) -> None:
    line.send({"a": "one"})
    holder, empty = Consumer(line.settings), Consumer(line.settings)
    holder.ensure_groups()
    holder.read("live", 10, None)
    empty.read("live", 10, None)
    holder.leave()
    empty.leave()

    names = [c["name"].decode() for c in line.client.xinfo_consumers(line.settings.stream("live"), GROUP)]
    assert names == [holder.name]


def test_a_stopped_process_goes_on_where_it_was(line, start_worker, eventually: Eventually) -> None:
    """A paused machine: another worker takes over, and the late commit changes nothing."""
    first = start_worker()
    eventually(lambda: line.queue.workers())
    line.send({f"d{i}": f"SLOW {i}" for i in range(4)})
    eventually(lambda: line.pending() > 0)
    os.kill(first.process.pid, signal.SIGSTOP)
    start_worker()
    eventually(lambda: line.backlog() == 0, 60)
    os.kill(first.process.pid, signal.SIGCONT)
    time.sleep(4)

    assert first.process.poll() is None
    assert line.predicted() == 4
    assert line.count("SELECT count(*) FROM documents") == 4


def test_two_workers_share_a_lane(line, start_worker, eventually: Eventually) -> None:
    start_worker()
    start_worker()
    eventually(lambda: len(line.queue.workers()) == 2)
    line.send({f"d{i}": f"text {i}" for i in range(5000)}, "bulk")

    eventually(lambda: line.backlog() == 0)

    assert line.predicted() == 5000
    assert len(line.events()) == 5000
    assert isinstance(line.client, redis.Redis)
