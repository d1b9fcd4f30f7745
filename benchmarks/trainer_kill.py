"""`trainer_kill`, `trainer_network`: the trainer is killed, or the network before it breaks, and every run ends."""

import itertools
import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from sqlalchemy import func, select, text

from benchmarks.kept import Kept, end
from benchmarks.network import KINDS, network, strike
from benchmarks.stack import ROOT, Stack, result, say, stack
from db.models import ModelVersion, TrainingRun
from db.queries import training_runs
from db.session import session
from trainer import trigger
from trainer.data.import_file import import_file

_CHECKPOINT_S = 2.0
_ROWS = 500
_ENDS_WITHIN_S = 600.0

Strike = Callable[[Kept, random.Random], None]


def trainer_kill(faults: int = 25) -> int:
    """Fields: faults, runs, runs_ended (done, or failed with a reason), attempts, active_versions_min and _max (looked
    at ten times a second), steps_redone_max (a process of a run came so many steps further than its last state), and
    steps_per_checkpoint (what one interval between two states holds, at most), lost (runs that did not end, and looks
    at which there was not one active version).
    """

    def kill(trainer: Kept, draw: random.Random) -> None:
        time.sleep(draw.uniform(0.5, 25))
        trainer.kill()

    with _stack("trainer_kill") as made:
        return _run(made, "trainer_kill", faults, kill, {})


def trainer_network(faults: int = 14) -> int:
    """The same where the network breaks before trainer, housekeeping and beat, and nobody is killed."""
    with _stack("trainer_network") as made, network(made.settings) as way:
        kinds = itertools.cycle(KINDS)

        def break_it(_trainer: Kept, draw: random.Random) -> None:
            time.sleep(draw.uniform(0.5, 10))
            strike(way, next(kinds))

        return _run(made, "trainer_network", faults, break_it, way.urls())


def _stack(name: str) -> AbstractContextManager[Stack]:
    return stack(
        name, training_checkpoint_s=_CHECKPOINT_S, training_silent_s=5.0, training_attempts=1000, retrain_after=0,
        retrain_every_h=0.0,
    )  # fmt: skip


def _run(made: Stack, name: str, faults: int, fault: Strike, urls: dict[str, str]) -> int:
    draw = random.Random(11)
    _import(made)
    with ExitStack() as opened:
        opened.callback(end, made.start_housekeeping(**urls))
        opened.callback(end, made.start_beat(**urls))
        trainer = opened.enter_context(Kept(lambda: made.start_trainer(**urls)))
        _request(made)
        say("a first model is trained")
        _wait_ended(made)
        seen: list[int] = []
        stop = threading.Event()
        watcher = threading.Thread(target=_watch, args=(made, seen, stop))
        watcher.start()
        for number in range(faults):
            _request(made)
            fault(trainer, draw)
            say(f"{name}: {number + 1} of {faults}, {_state(made)}")
        _wait_ended(made)
        stop.set()
        watcher.join()
    return _judge(made, name, faults, seen)


def _judge(made: Stack, name: str, faults: int, seen: list[int]) -> int:
    with session(made.settings.postgres_url) as opened:
        runs = opened.scalars(select(TrainingRun)).all()
        learned = [v.metrics["learning"] for v in opened.scalars(select(ModelVersion))]
    fastest = max(each["steps"][-1][0] / max(each["seconds"], 0.1) for each in learned)
    store = Path(made.settings.models)
    ended = sum(run.state in ("done", "failed", "cancelled") for run in runs)
    lost = len(runs) - ended + sum(count != 1 for count in seen)
    result(
        name,
        faults=faults,
        runs=len(runs),
        runs_ended=ended,
        runs_done=sum(run.state == "done" for run in runs),
        lost=lost,
        duplicates=len(learned) - sum(run.state == "done" for run in runs),
        attempts=sum(run.attempts for run in runs),
        active_versions_min=min(seen),
        active_versions_max=max(seen),
        steps_redone_max=max(each["redone"] for each in learned),
        steps_per_checkpoint=round(fastest * _CHECKPOINT_S),
        checkpoints_left_over=len([p for p in store.glob("run-*") if not p.name.endswith(".report")]) - len(learned),
    )
    return lost


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
            trigger.request(opened, made.settings.broker, "trainer_kill", {"epochs": 8, "patience": 8})


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
