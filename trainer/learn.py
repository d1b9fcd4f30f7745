"""From labelled documents to a fine-tuned model: the documents are frozen, and a process learns from them."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

from classifier.checkpoint import Checkpoint, SnapshotReference
from classifier.engines.choose import conversions
from classifier.readable import Readability
from classifier.store import ModelStore
from db.queries import model_versions, snapshots, training_runs
from db.queries.labelled import labelled_documents, newest_review_id
from db.session import session
from sortline.errors import ConflictError, TrainingError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from sortline.training_progress import TOLD_FROM, duration
from sortline.training_progress import work as work_of
from trainer.data import bounds
from trainer.data.base_texts import readability_of, with_readability
from trainer.data.snapshot import read_snapshot, store_snapshot
from trainer.data.split import assign_new
from trainer.data.training_data import TrainingData, select
from trainer.fine_tuning.fine_tune import Epoch, FineTuned, Job, Machine, Progress, Started, fine_tune
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.prepare import Base, effective_parameters, find_base, prepare_job
from trainer.fine_tuning.speed import characters, foretold, note_speed
from trainer.fine_tuning.student import layer_counts
from trainer.lease import Lease

log = logging.getLogger(__name__)


class Learnt(NamedTuple):
    """A fine-tuned model, and what it was made of."""

    base: Base
    parameters: Parameters
    data: TrainingData
    job: Job
    description: Checkpoint
    readable: Readability
    fine_tuned: FineTuned


def learn(settings: Settings, store: ModelStore, machine: Machine, lease: Lease, work: Path) -> Learnt:
    """Freeze the documents and fine-tune on them; the process that will do so loads its libraries meanwhile."""
    base, parameters = _base(settings.postgres_url, store, lease, settings.base_model)
    with Started(machine, work, base.unchecked) as process, lease.watching(process.check):
        data, snapshot = _freeze(settings.postgres_url, settings.models, lease, base, parameters, process)
        tokenised = lease.counting("tokenising")
        job, description = prepare_job(base, parameters, data, snapshot, work / "tokenizer", tokenised)
        if parameters.student:
            layer_counts(job.base, parameters.student, added=1 if job.begins_fitted else 0)
        readable = readability_of(data, description.cleaning, work / "tokenizer")
        if sampled := bounds.said(len(data.train)):
            log.info("%s", sampled)
        if readable.is_poor:
            log.warning("%s", readable.sentence())
        fine_tuned = _fine_tune(machine, lease, job, work, process, settings, base.name, data)
    return Learnt(base, parameters, data, job, description, readable, fine_tuned)


def _base(postgres: PostgresAddress, store: ModelStore, lease: Lease, base_model: str) -> tuple[Base, Parameters]:
    lease.report("looking for the base model")
    with session(postgres) as opened:
        parameters = effective_parameters(opened, training_runs.get(opened, lease.run_id).parameters, base_model)
        return find_base(opened, store, parameters, base_model), parameters


def _freeze(
    postgres: PostgresAddress, models: str, lease: Lease, base: Base, parameters: Parameters, process: Started
) -> tuple[TrainingData, SnapshotReference]:
    """Take the labelled documents as they are now, or as they were when the run first began.

    Nothing is stored before the process has found the base model usable.
    """
    lease.report("reading labelled documents")
    with session(postgres) as opened:
        run = training_runs.get(opened, lease.run_id)
        if run.snapshot_id is not None:
            row = snapshots.get(opened, run.snapshot_id)
            lease.report("checking the base model")
            process.check(wait=True)
            return read_snapshot(opened, row), SnapshotReference(id=row.id, sha256=row.sha256)
        newest = newest_review_id(opened)
        assign_new(opened, on_progress=lease.counting("looking for near-duplicates of new documents"))
        trained = model_versions.trained(opened)
        documents = labelled_documents(opened)
        try:
            data = select(
                documents,
                parameters.keep_near_duplicates,
                parameters.drop_rare_labels,
                None if trained is None else trained.label_ids,
                parameters.min_examples,
                lease.counting("looking for near-duplicates"),
            )
        except TrainingError as refusal:
            process.check(wait=True)
            raise with_readability(refusal, documents, parameters.cleaning, [base.folder]) from None
        lease.report("checking the base model")
        process.check(wait=True)
        lease.report("writing the snapshot")
        row = store_snapshot(opened, data, models, str(lease.run_id))
        if not snapshots.attach(opened, row.id, lease.run_id, lease.token, newest):
            raise ConflictError(f"training run {lease.run_id} no longer belongs to this process")
        opened.commit()
        return data, SnapshotReference(id=row.id, sha256=row.sha256)


def _fine_tune(
    machine: Machine, lease: Lease, job: Job, work: Path, process: Started, settings: Settings, base: str,
    data: TrainingData,
) -> FineTuned:  # fmt: skip
    epochs, read = job.parameters.epochs, characters((each.text for each in data.train), job.parameters.max_length)
    each = -(-len(job.train.documents) // job.parameters.batch_size)
    before = foretold(settings.data_dir, base, epochs * read)
    guide = "" if before is None else f"; about {duration(before)} at the speed of the last training here"
    lease.report(f"starting the fine-tuning: {work_of(epochs * each, epochs)}{guide}")

    def on_epoch(epoch: Epoch) -> None:
        log.info("epoch %d: accuracy %.4f, macro-F1 %.4f on validation", epoch.epoch, epoch.accuracy, epoch.macro_f1)

    def on_stage(stage: str, **progress: int) -> None:
        lease.report(stage, **(reached | progress if progress else {}))

    def on_progress(progress: Progress) -> None:
        reached.update(_reached(progress, before))
        lease.report("fine-tuning", **reached)

    reached: dict[str, Any] = {}
    learned = fine_tune(job, work, machine, on_progress, on_epoch, process, conversions(settings), on_stage)
    steps = learned.learning.steps
    if steps and learned.learning.seconds and not learned.learning.resumed_from:
        note_speed(settings.data_dir, base, read * steps[-1][0] / each, learned.learning.seconds)
    return learned


def report_steps(lease: Lease, stage: str, progress: Progress) -> None:
    """Report the steps of a fine-tuning whose time was not foretold."""
    lease.report(stage, **_reached(progress, None))


def _reached(progress: Progress, foretold_s: float | None) -> dict[str, Any]:
    """What is told of steps; the time of the first ones says little, so as long as they are few the foretold counts."""
    left_s = progress.left_s
    if progress.done < TOLD_FROM and foretold_s is not None:
        left_s = foretold_s * (progress.steps - progress.step) / progress.steps
    return {
        "step": progress.step, "steps": progress.steps, "epoch": progress.epoch, "epochs": progress.epochs,
        "loss": round(progress.loss, 4), "left_s": round(left_s, 1),
    }  # fmt: skip
