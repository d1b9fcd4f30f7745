"""Wall clocks that are set an hour ahead or back while everything runs: nothing stops, nothing is done twice."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy.orm import Session

from benchmarks.shifted_clock import ShiftedClock, can_be_shifted
from sortline.child import Child
from sortline.local import embedded_redis
from sortline.published import of_others
from tests.conftest import environment
from tests.worker.conftest import Line
from worker.consumer import Consumer

HOUR = 3600
MOST_S = {"sortline_stage_seconds_sum": 600, "sortline_end_to_end_seconds_sum": 600 * 60}
needs_a_compiler = pytest.mark.skipif(not can_be_shifted(), reason="no C compiler to shift a process' clock with")
Eventually = Callable[..., None]


@pytest.fixture
def clock(tmp_path: Path) -> ShiftedClock:
    return ShiftedClock(tmp_path / "clock")


@needs_a_compiler
@pytest.mark.usefixtures("model")
def test_a_worker_whose_clock_is_set(
    line, start_worker, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    worker = start_worker()
    monkeypatch.undo()
    eventually(lambda: line.queue.workers())

    for turn, seconds in enumerate((HOUR, 0, -HOUR)):
        line.send({f"{turn}-{i}": f"SLOW {i}" if i == 0 else f"text {i}" for i in range(200)})
        eventually(lambda: line.pending() > 0)
        clock.set(seconds)
        eventually(lambda: line.backlog() == 0)

    assert line.predicted() == 600
    assert len(line.events()) == 600
    assert line.client.hlen(f"{line.settings.prefix}:attempts:live") == 0
    assert worker.terminate() == 0
    found = list(spans(line))
    assert found
    assert [(name, value) for name, value in found if not 0 <= value < MOST_S[name]] == []


def spans(line: Line) -> Iterator[tuple[str, float]]:
    """Sums of what the workers measured, in seconds."""
    for families in of_others(line.client, line.settings.prefix, "").values():
        for _, _, _, samples in families:
            for name, _, value in samples:
                if name in MOST_S:
                    yield name, value


@needs_a_compiler
def test_what_a_dead_worker_held_when_redis_clock_was_set_back(
    worker_settings, session: Session, clock: ShiftedClock, eventually: Eventually
) -> None:
    server = embedded_redis(data_dir=worker_settings.data_dir, runtime_dir=worker_settings.runtime_dir)
    child = Child("redis", server.command, lambda *_: None, {"PATH": "/usr/bin:/bin", **clock.environment})
    child.start()
    try:
        server.wait(child.is_alive)
        settings = worker_settings.model_copy(update={"redis_url": f"unix://{worker_settings.runtime_dir}/redis.sock"})
        Line(settings, session).send({f"d{i}": "text" for i in range(10)})
        ghost, living = Consumer(settings), Consumer(settings)
        ghost.ensure_groups()
        assert len(ghost.read("live", 10, None)) == 10

        clock.set(-HOUR)

        taken: list[object] = []

        def look() -> bool:
            living.wake("live")
            taken.extend(living.take_over("live", 100))
            return len(taken) >= 10

        eventually(look)
        assert len(taken) == 10
    finally:
        child.ask_to_stop()
        child.wait(20)


@pytest.fixture
def beat(settings, clock: ShiftedClock, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "housekeeping", "beat", "-s", str(tmp_path / "schedule")],
        env=environment(settings, **clock.environment, SORTLINE_BROKER_URL=settings.celery_broker.url), cwd=tmp_path,
    )  # fmt: skip
    yield process
    process.terminate()
    process.wait(20)


@needs_a_compiler
def test_beat_goes_on_when_its_clock_is_set_back(
    settings, clock: ShiftedClock, beat: subprocess.Popen[bytes], eventually: Eventually
) -> None:
    with redis.Redis.from_url(settings.celery_broker.url) as broker:
        broker.delete("housekeeping")
        eventually(lambda: broker.llen("housekeeping"))

        clock.set(-HOUR)
        broker.delete("housekeeping")

        eventually(lambda: b"publish_outbox" in b"".join(broker.lrange("housekeeping", 0, -1)))
        broker.delete("housekeeping")


def test_beat_begins_anew_with_times_to_come(settings, tmp_path: Path) -> None:
    """Started after its clock was set back, it finds in its file when it sent each task last: in an hour."""
    code = (
        "from datetime import timedelta\n"
        "from housekeeping.celery import app\n"
        "from housekeeping.scheduler import SteadyScheduler\n"
        f"made = SteadyScheduler(app, schedule_filename={str(tmp_path / 'schedule')!r})\n"
        "for entry in made.schedule.values(): entry.last_run_at += timedelta(hours=AHEAD)\n"
        "print(max(entry.is_due()[1] for entry in made.schedule.values() if entry.name == 'start_due_training'))\n"
        "made.close()\n"
    )

    waits = [
        float(subprocess.run([sys.executable, "-c", code.replace("AHEAD", ahead)], env=environment(settings),
                             cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
        for ahead in ("1", "0")
    ]  # fmt: skip

    assert waits[0] > timedelta(hours=1).total_seconds()
    assert waits[1] <= timedelta(minutes=1).total_seconds()
