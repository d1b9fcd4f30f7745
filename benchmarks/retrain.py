"""The whole loop: few labels, a model, its doubtful documents decided, a better model, and again."""

import csv
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack

from sqlalchemy import select

from benchmarks.kept import end
from benchmarks.reviewer import decide
from benchmarks.stack import Stack, result, say, stack
from benchmarks.texts import labelled, training_files
from db.models import Label, ModelVersion, User
from db.queries import rescore, training_runs
from db.session import session
from sortline.queue import Document
from trainer import trigger
from trainer.data.import_file import import_file

# Shares of the training texts: labelled at first, and decided in each step. Steps are alike: a training starts by
# itself once so many are decided, and would not wait for the rest of a longer one.
_FIRST, _STEP, _STEPS = 0.1, 0.15, 2
_EVERY_S = 1800.0


def retrain() -> None:
    """`retrain`: from 10 % of banking77's training labels, by decisions of a reviewer who knows the true labels.

    Through worker, trainer, housekeeping and beat as they run for users: the rest of the training texts is sent
    through the queue, the reviewer decides what the desk gives them, the trigger starts a training, the gate
    decides, workers swap, what waits is scored again. ``labels`` and ``accuracy`` (on the test texts): one entry a
    step; ``verdicts``: what the gate said; ``corrected``: share of the decisions that changed a label.
    """
    truth = _rows("train")
    random.Random(3).shuffle(truth)
    first = int(_FIRST * len(truth))
    count = int(_STEP * len(truth))
    began = time.monotonic()
    with stack("retrain", accept_threshold=0.999, retrain_after=count, quantise=False) as made:
        _import(made, truth[:first])
        with ExitStack() as running:
            for process in (made.start_worker(), made.start_trainer(), made.start_housekeeping(), made.start_beat()):
                running.callback(end, process)
            with session(made.settings.postgres_url) as opened:
                trigger.request(opened, made.settings.broker, "the first training", actor="benchmark")
            versions, corrected = [_next_version(made, 0)], []
            made.wait_ready()
            made.queue.append([Document(str(i), row[0], "bench") for i, row in enumerate(truth[first:])], "bulk")
            made.wait_drained()
            known = {written: label for path, _ in training_files() for written, label in labelled(path)}
            for _ in range(_STEPS):
                decided, changed = _decide(made, count, known)
                say(f"{decided:,} documents decided, {changed:,} labels corrected")
                corrected.append(round(changed / max(1, decided), 3))
                versions.append(_next_version(made, versions[-1].id))
    result(
        "retrain",
        labels=[sum(v.metrics["snapshot"][part] for part in ("train", "validation", "calibration")) for v in versions],
        accuracy=[round(v.metrics["test"]["accuracy"], 4) for v in versions],
        verdicts=[v.metrics["gate"]["outcome"] for v in versions],
        corrected=corrected,
        minutes=round((time.monotonic() - began) / 60, 1),
    )


def _rows(split: str) -> list[tuple[str, str]]:
    path = next((path for path, name in training_files() if name in (split, None)), None)
    assert path is not None
    return labelled(path)


def _import(made: Stack, rows: Sequence[tuple[str, str]]) -> None:
    path = made.settings.data_dir / "labelled.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("text", "label"), *rows])
    with session(made.settings.postgres_url) as opened:
        for test, split in training_files():
            if split == "test":
                import_file(opened, test, split="test")
        import_file(opened, path, split="train" if len(training_files()) > 1 else None)
        opened.add(User(name="simulated", role="reviewer"))
        opened.commit()


def _decide(made: Stack, count: int, truth: dict[str, str]) -> tuple[int, int]:
    """Once all that waits is scored by the version that is live: how many were decided, and corrected."""
    with session(made.settings.postgres_url) as opened:
        while rescore.stale(opened) is not None:
            opened.rollback()
            time.sleep(2)
        ids = {name: id_ for id_, name in opened.execute(select(Label.id, Label.name))}
        reviewer = opened.execute(select(User.id).where(User.name == "simulated")).scalar_one()
        known = {written: ids[label] for written, label in truth.items()}
        decided, corrected = decide(opened, reviewer, known, count)
        return len(decided), corrected


def _next_version(made: Stack, after: int) -> ModelVersion:
    """Wait for the next training to end; returns its model version."""
    deadline = time.monotonic() + _EVERY_S
    while time.monotonic() < deadline:
        with session(made.settings.postgres_url) as opened:
            run = training_runs.newest(opened)[0]
            if run.state == "failed":
                raise SystemExit(f"training run {run.id} failed: {run.error}")
            found = opened.scalars(select(ModelVersion).where(ModelVersion.id > after)).first()
            if found is not None:
                say(f"version {found.id}: {found.metrics['test']['accuracy']:.2%}, {found.metrics['gate']['reason']}")
                return found
        time.sleep(2)
    raise SystemExit("no training ended in time; see worker.log in the stack's folder")
