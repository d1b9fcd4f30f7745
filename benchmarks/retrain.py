"""The whole loop: few labels, a model, its doubtful documents decided, a better model, and again."""

import csv
import json
import random
import time
from collections.abc import Sequence

from sqlalchemy import select, text

from benchmarks.stack import Stack, result, say, stack
from benchmarks.texts import training_files
from benchmarks.trainer_kill import HOUSEKEEPING, TRAINING
from db.models import ModelVersion, User
from db.queries import training_runs
from db.session import session
from trainer import trigger
from trainer.import_file import import_file
from trainer.readers import Columns
from worker.queue import Document

_FIRST, _STEPS = 0.1, (0.1, 0.2)  # shares of the training texts: labelled at first, decided in each step
_EVERY_S = 1800.0

# The least sure first, as the desk will show them; the reviewer confirms or corrects, and they leave the queue.
_DECIDE = text("""
WITH chosen AS (
  SELECT queue_items.document_id FROM queue_items JOIN documents ON documents.id = document_id
  WHERE reason = 'doubtful' ORDER BY score, document_id LIMIT :count
), truth AS (
  SELECT document_id, labels.id AS label_id FROM chosen JOIN documents ON documents.id = document_id
  JOIN json_each_text(CAST(:truth AS json)) AS row (id, label) ON row.id = external_id
  JOIN labels ON labels.name = row.label
), decided AS (
  INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason)
  SELECT truth.document_id, :reviewer, CASE WHEN label_id = (
    SELECT label_id FROM predictions WHERE predictions.document_id = truth.document_id AND kind <> 'shadow'
    ORDER BY created_at DESC LIMIT 1) THEN 'confirm' ELSE 'correct' END, label_id, 'doubtful' FROM truth
  RETURNING action
), gone AS (DELETE FROM queue_items USING chosen WHERE queue_items.document_id = chosen.document_id)
SELECT count(*), count(*) FILTER (WHERE action = 'correct') FROM decided
""")


def retrain() -> None:
    """`retrain`: from 10 % of banking77's training labels, by decisions of a reviewer who knows the true labels.

    Through worker, trainer, housekeeping and beat as they run for users: the rest of the training texts is sent
    through the queue, the least sure are decided, the trigger starts a training, the gate decides, workers swap,
    what waits is scored again. ``labels`` and ``accuracy`` (on the test texts): one entry a step; ``verdicts``:
    what the gate said; ``corrected``: share of the decisions that changed a label.
    """
    truth = _rows("train")
    random.Random(3).shuffle(truth)
    first = int(_FIRST * len(truth))
    counts = [int(share * len(truth)) for share in _STEPS]
    began = time.monotonic()
    with stack("retrain", accept_threshold=0.999, retrain_after=min(counts), quantise=False) as made:
        _import(made, truth[:first])
        processes = [
            made.start_worker(),
            made.start_worker("celery -A trainer", TRAINING),
            made.start_worker("celery -A trainer", HOUSEKEEPING),
            made.start_beat(),
        ]
        try:
            with session(made.settings.postgres_url) as opened:
                trigger.request(opened, made.settings, "the first training", actor="benchmark")
            versions, corrected = [_next_version(made, 0)], []
            made.wait_ready()
            made.queue.append([Document(str(i), row[0], "bench") for i, row in enumerate(truth[first:])], "bulk")
            made.wait_drained()
            for count in counts:
                decided, changed = _decide(made, count, {str(i): row[1] for i, row in enumerate(truth[first:])})
                say(f"{decided:,} documents decided, {changed:,} labels corrected")
                corrected.append(round(changed / max(1, decided), 3))
                versions.append(_next_version(made, versions[-1].id))
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(60)
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
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row.get("label") or row["category"]) for row in csv.DictReader(file)]


def _import(made: Stack, rows: Sequence[tuple[str, str]]) -> None:
    path = made.settings.data_dir / "labelled.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("text", "label"), *rows])
    with session(made.settings.postgres_url) as opened:
        for test, split in training_files():
            if split == "test":
                import_file(opened, test, Columns(), split="test")
        import_file(opened, path, Columns(), split="train" if len(training_files()) > 1 else None)
        opened.add(User(name="simulated", role="reviewer"))
        opened.commit()


def _decide(made: Stack, count: int, truth: dict[str, str]) -> tuple[int, int]:
    with session(made.settings.postgres_url) as opened:
        reviewer = opened.scalar(select(User.id).where(User.name == "simulated"))
        asked = {"count": count, "truth": json.dumps(truth), "reviewer": reviewer}
        decided, changed = opened.execute(_DECIDE, asked).one()
        opened.commit()
        return int(decided), int(changed)


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
