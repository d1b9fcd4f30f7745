"""`trainer_kill`: the trainer is killed at random moments, and every run ends all the same."""

import random
import threading
import time
from pathlib import Path

from sqlalchemy import func, select, text

from benchmarks.load import KeptWorker
from benchmarks.stack import ROOT, Stack, result, say, stack
from db.models import ModelVersion, TrainingRun
from db.queries import training_runs
from db.session import session
from trainer import trigger
from trainer.import_file import import_file

_CHECKPOINT_S = 2.0
_ROWS = 500
_ENDS_WITHIN_S = 600.0
TRAINING = ("-Q", "training", "--pool=threads", "-c", "1", "-n", "trainer@%h")
HOUSEKEEPING = ("-Q", "housekeeping", "--pool=threads", "-c", "1", "-n", "housekeeping@%h")


def trainer_kill(faults: int = 25) -> int:
    """Fields: faults, runs, runs_ended (done, or failed with a reason), attempts, active_versions_min and _max (looked
    at ten times a second), steps_redone_max (a process of a run came so many steps further than its last state), and
    steps_per_checkpoint (what one interval between two states holds, at most).
    """
    draw = random.Random(11)
    with stack(
        "trainer_kill",
        training_checkpoint_s=_CHECKPOINT_S,
        training_silent_s=5.0,
        training_attempts=1000,
        retrain_after=0,
        retrain_every_h=0.0,
    ) as made:
        _import(made)
        trainer = KeptWorker(made, "celery -A trainer", TRAINING)
        housekeeping, beat = made.start_worker("celery -A trainer", HOUSEKEEPING), made.start_beat()
        try:
            _request(made)
            say("a first model is trained")
            _wait_ended(made)
            seen: list[int] = []
            stop = threading.Event()
            watcher = threading.Thread(target=_watch, args=(made, seen, stop))
            watcher.start()
            for number in range(faults):
                _request(made)
                time.sleep(draw.uniform(0.5, 25))
                trainer.kill()
                say(f"trainer_kill: {number + 1} of {faults}, {_state(made)}")
            _wait_ended(made)
            stop.set()
            watcher.join()
        finally:
            trainer.stop()
            for process in (beat, housekeeping):
                process.terminate()
                process.wait(60)
        return _judge(made, faults, seen)


def _judge(made: Stack, faults: int, seen: list[int]) -> int:
    with session(made.settings.postgres_url) as opened:
        runs = opened.scalars(select(TrainingRun)).all()
        learned = [v.metrics["learning"] for v in opened.scalars(select(ModelVersion))]
    fastest = max(each["steps"][-1][0] / max(each["seconds"], 0.1) for each in learned)
    store = Path(made.settings.models)
    result(
        "trainer_kill",
        faults=faults,
        runs=len(runs),
        runs_ended=sum(run.state in ("done", "failed", "cancelled") for run in runs),
        runs_done=sum(run.state == "done" for run in runs),
        attempts=sum(run.attempts for run in runs),
        active_versions_min=min(seen),
        active_versions_max=max(seen),
        steps_redone_max=max(each["redone"] for each in learned),
        steps_per_checkpoint=round(fastest * _CHECKPOINT_S),
        checkpoints_left_over=len([p for p in store.glob("run-*") if not p.name.endswith(".report")]) - len(learned),
    )
    return sum(count != 1 for count in seen)


def _import(made: Stack) -> None:
    rows = (ROOT / "examples" / "support_messages.csv").read_text(encoding="utf-8").splitlines()[: _ROWS + 1]
    path = made.settings.data_dir / "labelled.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    with session(made.settings.postgres_url) as opened:
        import_file(opened, path)
        opened.commit()


def _request(made: Stack) -> None:
    with session(made.settings.postgres_url) as opened:
        if training_runs.unfinished(opened) is None:
            trigger.request(opened, made.settings, "trainer_kill", {"epochs": 8, "patience": 8})


def _state(made: Stack) -> str:
    with session(made.settings.postgres_url) as opened:
        run = training_runs.newest(opened)[0]
        return f"run {run.id} was {training_runs.describe(run)}, attempt {run.attempts}"


def _wait_ended(made: Stack) -> None:
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while time.monotonic() < deadline:
        with session(made.settings.postgres_url) as opened:
            if training_runs.unfinished(opened) is None:
                return
        time.sleep(0.5)
    raise SystemExit(f"a training did not end within {_ENDS_WITHIN_S:g} s: {_state(made)}")


def _watch(made: Stack, seen: list[int], stop: threading.Event) -> None:
    active = select(func.count()).select_from(ModelVersion).where(ModelVersion.status == text("'active'"))
    while not stop.wait(0.1):
        with session(made.settings.postgres_url) as opened:
            seen.append(int(opened.scalar(active) or 0))
