"""A worker with several intakes and one process that computes for them: nothing is lost, and nothing is left behind."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from db.models import ModelVersion
from monitoring.status import line_status
from sortline.cli.status_text import print_status
from sortline.settings import Settings

Eventually = Callable[..., None]
INTAKES = 2


@pytest.fixture(scope="module")
def conversions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def worker_settings(worker_settings: Settings, version: ModelVersion, conversions: Path) -> Settings:
    """A real encoder, converted once, and two intakes."""
    worker_settings.data_dir.mkdir(exist_ok=True)
    (worker_settings.data_dir / "cache").symlink_to(conversions)
    changes = {
        "classifier": "classifier.classifier:load_classifier", "engine": "openvino", "device": "cpu",
        "intakes": INTAKES, "micro_batch": 16,
    }  # fmt: skip
    return worker_settings.model_copy(update=changes)


def _children(pid: int) -> dict[int, str]:
    """Command lines of the processes that a process started."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    pids = [int(each) for path in found for each in path.read_text().split()]
    return {each: Path(f"/proc/{each}/cmdline").read_bytes().replace(b"\0", b" ").decode() for each in pids}


def _started(pid: int) -> tuple[int, list[int]]:
    """The process that computes, and the further intakes."""
    children = _children(pid)
    engine = [each for each, command in children.items() if "classifier.engines.process" in command]
    return engine[0], sorted(each for each, command in children.items() if "worker.intake_process" in command)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _ready(line) -> bool:  # type: ignore[no-untyped-def]
    intakes = line.queue.intakes()
    return len(intakes) == INTAKES and all(intake["engine"] for intake in intakes)


def test_all_intakes_carry_documents_and_take_up_promotions_and_one_process_computes(
    line, start_worker, eventually: Eventually, version: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = start_worker()
    eventually(lambda: _ready(line), timeout=120)
    engine, others = _started(worker.process.pid)
    assert len(others) == INTAKES - 1
    for pid in (worker.process.pid, *others):
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "openvino_intel_cpu" not in maps, "no intake holds a model"
    assert "openvino_intel_cpu" in Path(f"/proc/{engine}/maps").read_text()

    line.send({f"d{i}": f"where is my card {i % 7}" for i in range(600)}, "bulk")
    eventually(lambda: line.backlog() == 0)
    line.send({f"live-{i}": "cash please" for i in range(40)})
    eventually(lambda: line.backlog() == 0)

    assert line.predicted() == 640
    assert Counter(event["id"] for event in line.events()).most_common(1)[0][1] == 1
    eventually(lambda: [worker["documents"] for worker in line.queue.workers()] == [640])
    (seen,) = line.queue.workers()
    assert (seen["pid"], [each["pid"] for each in seen["intakes"]]) == (
        worker.process.pid,
        [worker.process.pid, *others],
    )
    assert all(each["documents"] > 0 for each in seen["intakes"])
    found = line_status(line.session, line.queue, line.settings)
    assert len(found["workers"]) == 1
    print_status(found)
    assert f"worker {worker.process.pid} on {seen['host']}, 2 intakes: model version" in capsys.readouterr().out

    second = ModelVersion(
        status="active", checkpoint_uri=version.checkpoint_uri, sha256=version.sha256, base_model="tiny",
        label_ids=version.label_ids,
    )  # fmt: skip
    version.status = "retired"
    line.session.flush()
    line.session.add(second)
    line.session.commit()
    eventually(lambda: [intake["model_version"] for intake in line.queue.intakes()] == [second.id] * INTAKES)
    line.send({f"later-{i}": "cash" for i in range(100)})
    eventually(lambda: line.backlog() == 0)
    assert line.count(f"SELECT count(*) FROM predictions WHERE model_version_id = {second.id}") == 100


def test_one_live_document_goes_before_bulk_and_makes_passes_of_all_intakes_short(
    line, start_worker, eventually: Eventually
) -> None:
    """The engine only sleeps, so the machine's other work makes no pass longer; it notes each pass."""
    start_worker({"micro_batch": 256, "claim_idle_s": 30.0}, module="sleeping celery -A worker worker")
    eventually(lambda: _ready(line), timeout=120)
    line.send({f"d{i}": f"where is my card {'please help ' * 4}{i % 7}" for i in range(8000)}, "bulk")
    noted = line.settings.data_dir / "passes"

    def passes() -> list[dict[str, float]]:
        return [json.loads(each) for each in noted.read_text().splitlines() if each.endswith("}")]

    eventually(lambda: noted.exists() and sum(each["seconds"] > 0.2 for each in passes()) > 4 * INTAKES)
    sent = time.time()
    line.send({"live": "cash"})
    time.sleep(4.0)

    found = passes()
    (live,) = [each for each in found if each["live"]]
    assert live["at"] - sent < 1.0
    later = [each for each in found if live["at"] + 1.5 < each["at"] < live["at"] + 4.0]
    assert len(later) > 20, "bulk goes on"
    assert max(each["seconds"] for each in later) <= 0.051


def test_all_processes_end_with_a_worker_that_is_asked_to_stop(line, start_worker, eventually: Eventually) -> None:
    worker = start_worker()
    eventually(lambda: _ready(line), timeout=120)
    started = _children(worker.process.pid)
    line.send({f"d{i}": f"where is my card {i % 7}" for i in range(2000)}, "bulk")
    eventually(lambda: line.predicted() > 0)

    assert worker.terminate() == 0
    eventually(lambda: not any(map(_is_alive, started)))
    assert line.queue.workers() == []
    assert line.queue.lane("bulk").pending == 0, "what they held was finished"


def test_a_service_manager_that_signals_each_process_ends_all_of_them(
    line, start_worker, eventually: Eventually
) -> None:
    worker = start_worker()
    eventually(lambda: _ready(line), timeout=120)
    started = _children(worker.process.pid)
    line.send({f"d{i}": f"where is my card {i % 7}" for i in range(2000)}, "bulk")
    eventually(lambda: line.predicted() > 0)
    for pid in started:
        os.kill(pid, signal.SIGTERM)

    assert worker.terminate() == 0
    eventually(lambda: not any(map(_is_alive, started)))
    assert line.queue.lane("bulk").pending == 0


@pytest.mark.parametrize("killed", ["main", "intake", "engine"])
def test_nothing_is_lost_when_one_of_the_processes_is_killed(
    line, start_worker, eventually: Eventually, killed: str
) -> None:
    worker = start_worker()
    eventually(lambda: _ready(line), timeout=120)
    engine, others = _started(worker.process.pid)
    sent = {f"d{i}": f"where is my card {i % 7}" for i in range(3000)}
    line.send(sent, "bulk")
    eventually(lambda: line.predicted() > 0)
    os.kill({"main": worker.process.pid, "intake": others[0], "engine": engine}[killed], signal.SIGKILL)

    assert worker.process.wait(30) == (-signal.SIGKILL if killed == "main" else 70)
    eventually(lambda: not any(map(_is_alive, (engine, *others))), timeout=30)
    start_worker()
    eventually(lambda: line.backlog() == 0, timeout=120)
    assert line.predicted() == len(sent)
    assert line.letters() == {}, "no document is to blame"
    attempts = f"{line.settings.prefix}:attempts:bulk"
    assert line.client.hlen(attempts) == 0


def test_documents_whose_pass_hangs_are_left_to_others(line, start_worker, eventually: Eventually) -> None:
    worker = start_worker({"stuck_s": 2.0})
    eventually(lambda: _ready(line), timeout=120)
    engine, others = _started(worker.process.pid)
    os.kill(engine, signal.SIGSTOP)
    line.send({"a": "where is my card"})

    assert worker.process.wait(30) == 70
    os.kill(engine, signal.SIGCONT)
    eventually(lambda: not any(map(_is_alive, (engine, *others))))
    assert line.backlog() == 1
    deadline = time.monotonic() + 60
    start_worker()
    eventually(lambda: line.backlog() == 0, timeout=deadline - time.monotonic())
    assert line.predicted() == 1


def test_only_the_document_that_kills_the_process_that_computes_becomes_a_dead_letter(line, start_worker) -> None:
    """All intakes lose what they held each time; the others' documents are not counted as having failed."""
    line.send({f"d{i}": f"where is my card {i % 7}" for i in range(50)} | {"deadly": "the machine ate it"})
    deadline = time.monotonic() + 150
    while line.backlog() and time.monotonic() < deadline:
        worker = start_worker({"claim_idle_s": 0.5, "max_attempts": 2}, module="deadly celery -A worker worker")
        while worker.process.poll() is None and line.backlog():
            time.sleep(0.1)
        worker.end()

    assert line.letters() == {"deadly": "worker_died"}
    assert line.predicted() == 50
