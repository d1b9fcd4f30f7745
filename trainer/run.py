"""One training run, from labelled documents to a model version."""

import logging
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy.exc import DBAPIError

from classifier.checkpoint import Checkpoint, SnapshotReference
from classifier.checkpoint_folder import library_versions
from classifier.classifier import assemble, load_classifier
from classifier.engines.choose import conversions
from classifier.readable import Readability
from classifier.store import ModelStore, model_store
from db.queries import model_forms, model_versions, queue_items, snapshots, starters, training_runs
from db.queries.labelled import labelled_documents, newest_review_id
from db.session import session
from sortline.counted import counted
from sortline.errors import ConflictError, SortlineError, TrainingError, TransientError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from sortline.training_progress import TOLD_FROM, duration
from sortline.training_progress import work as work_of
from sortline.whole_file import is_disk_full
from trainer.data import bounds
from trainer.data.base_texts import readability_of, with_readability
from trainer.data.snapshot import read_snapshot, store_snapshot
from trainer.data.split import assign_new
from trainer.data.traffic import Traffic, texts_to_teach, unseen_traffic
from trainer.data.training_data import TrainingData, select
from trainer.evaluation.accepted_errors import accepted_errors, and_also
from trainer.evaluation.against_starter import NONE, Unlearnt
from trainer.evaluation.baseline import baseline_answers
from trainer.evaluation.compare import compare
from trainer.evaluation.cross_validation import Unseen, cross_validate
from trainer.evaluation.drift_reference import freeze
from trainer.evaluation.forms import AS_REFERENCE, Judge, Tried, best, measure, try_int8
from trainer.evaluation.judge import Judged, judge
from trainer.evaluation.label_errors import Suspect, find_label_errors
from trainer.evaluation.made_anew import Made, StarterBasis, answers_of_both
from trainer.evaluation.students import try_students
from trainer.fine_tuning.fine_tune import Epoch, FineTuned, Job, Machine, Progress, Started, fine_tune
from trainer.fine_tuning.kept_embeddings import kept_embeddings
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.prepare import Base, effective_parameters, find_base, prepare_job
from trainer.fine_tuning.sentence_embeddings import Matrix
from trainer.fine_tuning.speed import characters, foretold, note_speed
from trainer.fine_tuning.student import layer_counts
from trainer.fine_tuning.work_folder import work_folder
from trainer.forms import promise_of, store_forms
from trainer.lease import Lease, Report
from trainer.publish import Published, PublishedForm, checkpoint_name, publish, publish_form, withdraw
from trainer.report.texts import TEXTS, forget_erased
from trainer.starter import described_by

log = logging.getLogger(__name__)


def train(settings: Settings, run_id: int, report: Report = lambda _: None) -> int | None:
    """Carry out a waiting run; the candidate goes live if it passes the gate.

    A run that another process began continues with the documents frozen then, from the last checkpoint of its
    fine-tuning.

    Args:
        report: called with progress, as `sortline.training_progress` reads it.

    Returns:
        The model version's id; None if the run was no longer waiting.

    Raises:
        SortlineError: it failed; the run's row says why.
    """
    with session(settings.postgres_url) as opened:
        token = training_runs.claim(opened, run_id)
        opened.commit()
    if token is None:
        return None
    work = work_folder(settings.data_dir, run_id)
    try:
        with Lease(settings.postgres_url, run_id, token, report) as lease:
            version_id = _train(settings, lease, work)
    except BaseException as error:
        failure = _as_ours(error)
        _note_failure(settings.postgres_url, model_store(settings), run_id, token, failure, work)
        if failure is error:
            raise
        raise failure from error
    shutil.rmtree(work, ignore_errors=True)
    return version_id


def _train(settings: Settings, lease: Lease, work: Path) -> int:
    postgres, store = settings.postgres_url, model_store(settings)
    machine = Machine.of(settings)
    withdraw(store, lease.run_id, range(1, lease.token))
    base, parameters, data, job, description, readable, learned = _learn(settings, store, machine, lease, work)
    draft = _draft(work)
    kept = kept_embeddings(work, len(data.train))
    with ThreadPoolExecutor(1) as beside:  # much of the conversion takes one core
        answers = beside.submit(_cross_validate, machine, base, description, data, kept)
        lease.report("preparing the model for this machine's engine")
        classifier = assemble(draft, description, settings)
        answered = _counting(lease, "answering held-out documents and a sample of the others")
        whole = measure(classifier, data, settings, kept, answered)
        lease.report("fitting simple classifiers to compare with")
        baselines = baseline_answers(data.train, data.known(data.test))
        crossed = counted(min(len(data.train), bounds.CROSS_VALIDATED), "training document")
        lease.report(f"cross-validating {crossed}")
        cross_validated = answers.result()
    lease.report("fitting confidences and thresholds")
    promise = promise_of(settings)
    judge_as = partial(judge, data=data, baselines=baselines, cross_validated=cross_validated, promise=promise)
    judged = judge_as(whole)
    lease.report("looking for label errors")
    suspects = find_label_errors(data.labels, [cross_validated, Unseen(data.held_out, judged.probabilities)])
    lease.report("comparing with the active version")
    load = partial(load_classifier, settings=settings)
    anew = partial(_made_anew, settings, lease, Made(
        job, description, work / "tokenizer", machine,
        lambda folder, form: assemble(folder, form, settings.model_copy(update=AS_REFERENCE)),
    ), data, work / "anew")  # fmt: skip
    compared = _counting(lease, "comparing with the active version")
    tested = judged.probabilities[len(data.held_out) - len(data.test) :]
    verdict = compare(postgres, judged.classifier, data, baselines, load, settings.gate_margin, anew, compared, tested)
    verdict = and_also(verdict, accepted_errors(judged, data))
    judged = judged.with_figures(
        learning=learned.learning,
        parameters=job.parameters.model_dump(mode="json", exclude={"cleaning"}),
        versions=library_versions(),
        size_bytes=sum(path.stat().st_size for path in draft.rglob("*") if path.is_file()),
        label_errors=len(suspects),
        readability=readable.figures(),
        gate=verdict,
    )

    # A first model serves at once, and its forms follow (`trainer.forms`); a later one waits for int8. A student waits
    # for traffic that can judge it, unless it is asked for.
    tried: list[Tried] = []
    asks_student = bool(parameters.student or parameters.student_base)
    if verdict.against is not None or asks_student:
        reference = assemble(draft, description, settings.model_copy(update=AS_REFERENCE))
        compared = _counting(lease, "comparing forms with the whole model")
        by = Judge(reference, whole.classifier, data.validation, settings.gate_margin, compared)
        traffic, to_teach = _traffic(postgres, lease.run_id, data)
        tried.append(try_int8(by, draft, data, traffic.texts, settings, work, lease.report, kept))
        if asks_student:
            learns = partial(_report_progress, lease, "teaching the student")
            tried += try_students(by, draft, data, to_teach, parameters, settings, work, lease.report, learns)
    name = checkpoint_name(lease.run_id, lease.token)
    forms = [publish_form(each, judge_as(each.measured) if each.measured else None, store, name) for each in tried]
    lease.report("writing the checkpoint and its report")
    published = publish(draft, judged, data, suspects, store, lease.run_id, lease.token)
    _forget_erased(postgres, published)
    return _register(postgres, lease, published, judged, data, suspects, forms, settings.auto_promote)


class _Learnt(NamedTuple):
    base: Base
    parameters: Parameters
    data: TrainingData
    job: Job
    description: Checkpoint
    readable: Readability
    learned: FineTuned


def _learn(settings: Settings, store: ModelStore, machine: Machine, lease: Lease, work: Path) -> _Learnt:
    """Freeze the documents and fine-tune on them; the process that will do so loads its libraries meanwhile."""
    base, parameters = _base(settings.postgres_url, store, lease, settings.base_model)
    with Started(machine, work, base.unchecked) as process, lease.watching(process.check):
        data, snapshot = _freeze(settings.postgres_url, settings.models, lease, base, parameters, process)
        tokenised = _counting(lease, "tokenising")
        job, description = prepare_job(base, parameters, data, snapshot, work / "tokenizer", tokenised)
        if parameters.student:
            layer_counts(job.base, parameters.student, added=1 if job.begins_fitted else 0)
        readable = readability_of(data, description.cleaning, work / "tokenizer")
        if sampled := bounds.said(len(data.train)):
            log.info("%s", sampled)
        if readable.is_poor:
            log.warning("%s", readable.sentence())
        learned = _fine_tune(machine, lease, job, work, process, settings, base.name, data)
    return _Learnt(base, parameters, data, job, description, readable, learned)


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
            process.check(wait=True)
            return read_snapshot(opened, row), SnapshotReference(id=row.id, sha256=row.sha256)
        newest = newest_review_id(opened)
        assign_new(opened, on_progress=_counting(lease, "looking for near-duplicates of new documents"))
        trained = model_versions.trained(opened)
        documents = labelled_documents(opened)
        try:
            data = select(
                documents,
                parameters.keep_near_duplicates,
                parameters.drop_rare_labels,
                None if trained is None else trained.label_ids,
                parameters.min_examples,
                _counting(lease, "looking for near-duplicates"),
            )
        except TrainingError as refusal:
            process.check(wait=True)
            raise with_readability(refusal, documents, parameters.cleaning, [base.folder]) from None
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

    def on_stage(stage: str, done: int, of: int) -> None:
        lease.report(stage, **reached, done=done, of=of)

    def on_progress(progress: Progress) -> None:
        reached.update(_reached(progress, before))
        lease.report("fine-tuning", **reached)

    reached: dict[str, Any] = {}
    learned = fine_tune(job, work, machine, on_progress, on_epoch, process, conversions(settings), on_stage)
    steps = learned.learning.steps
    if steps and learned.learning.seconds and not learned.learning.resumed_from:
        note_speed(settings.data_dir, base, read * steps[-1][0] / each, learned.learning.seconds)
    return learned


def _counting(lease: Lease, stage: str) -> Callable[[int, int], None]:
    """What a stage that goes through documents calls with how many are done, and of how many."""
    return lambda done, of: lease.report(stage, done=done, of=of)


def _report_progress(lease: Lease, stage: str, progress: Progress) -> None:
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


def _draft(work: Path) -> Path:
    """A folder with the fine-tuned model and its tokenizer."""
    draft = work / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(work / "model", draft)
    shutil.copytree(work / "tokenizer", draft, dirs_exist_ok=True)
    return draft


def _traffic(postgres: PostgresAddress, run_id: int, data: TrainingData) -> tuple[Traffic, list[str]]:
    """What came after the labelled documents were frozen, so nobody chose it or trained on it; and texts to teach."""
    with session(postgres) as opened:
        run = training_runs.get(opened, run_id)
        assert run.snapshot_id is not None
        since = snapshots.get(opened, run.snapshot_id).created_at
        traffic = unseen_traffic(opened, since, data)
        return traffic, texts_to_teach(opened, since, data, traffic)


def _cross_validate(
    machine: Machine, base: Base, description: Checkpoint, data: TrainingData, embeddings: Matrix | None
) -> Unseen:
    """Answers to the training documents by models that never saw them; if that fails, the run goes on without them."""
    try:
        return cross_validate(data, base.folder, description.cleaning, machine.device, machine.threads, embeddings)
    except SortlineError as error:
        log.warning("training documents are not cross-validated: %s", error)
        return Unseen([], np.empty((0, len(data.labels)), np.float32))


def _made_anew(settings: Settings, lease: Lease, made: Made, data: TrainingData, work: Path) -> Unlearnt:
    """Cross-validated answers of the candidate and of the active starter; if that fails, the run goes on without."""
    with session(settings.postgres_url) as opened:
        labels, active = starters.labels(opened), model_versions.active(opened)
        assert active is not None
        described = [(each, label.id) for label in labels for each in described_by(label)]
        basis = StarterBasis(active.base_model, [label.id for label in labels], described)
    try:
        return answers_of_both(made, basis, data, work, partial(_report_progress, lease))
    except SortlineError as error:
        log.warning("the candidate and the starter are not cross-validated: %s", error)
        return NONE


def _forget_erased(postgres: PostgresAddress, published: Published) -> None:
    """Remove from the report what was erased since it was frozen, when there was no report to erase it from."""
    with session(postgres) as opened:
        forget_erased(opened, [f"{published.report}/{TEXTS}"])
        opened.commit()


def _register(
    postgres: PostgresAddress,
    lease: Lease,
    published: Published,
    judged: Judged,
    data: TrainingData,
    suspects: list[Suspect],
    forms: Sequence[PublishedForm],
    auto_promote: bool,
) -> int:
    """The checkpoint becomes a model version, the verdict is carried out, and the run ends: one transaction."""
    description = published.stored.description
    figures = judged.figures.model_copy(update={"report": published.report})
    with session(postgres) as opened:
        before = model_versions.active(opened)
        version = model_versions.create(
            opened,
            checkpoint_uri=published.uri,
            sha256=published.stored.sha256,
            base_model=description.base_model,
            parent_id=before.id if before else None,
            form=best([each.tried for each in forms]),
            label_ids=description.label_ids,
            metrics=figures.stored(),
            report_sha256=published.report_sha256,
        )
        model_versions.settle(
            opened, version.id, figures.gate.outcome, figures.gate.against, auto_promote, actor="trainer",
            asks=figures.gate.cross_validated,
        )  # fmt: skip
        model_forms.add(opened, version.id, "whole", "proved", uri=published.uri, sha256=published.stored.sha256)
        freeze(opened, version.id, data, judged, lease.run_id)
        store_forms(opened, version.id, forms, data, lease.run_id)
        names = dict(zip(description.label_ids, description.labels, strict=True))
        queue_items.add(opened, [each.as_item(names) for each in suspects], "label_error")
        ours = training_runs.finish(opened, lease.run_id, lease.token, state="done", model_version_id=version.id)
        if not ours:
            raise ConflictError(f"training run {lease.run_id} no longer belongs to this process")
        opened.commit()
        return version.id


def _as_ours(error: BaseException) -> BaseException:
    """A full disk or an exhausted memory as one sentence; other errors as they are."""
    if isinstance(error, OSError) and is_disk_full(error):
        return TrainingError(f"the disk is full: {error.filename or 'a file'} can't be written")
    if isinstance(error, MemoryError):
        return TrainingError("out of memory outside the fine-tuning; fewer documents or a smaller model need less")
    return error


def _note_failure(
    postgres: PostgresAddress, store: ModelStore, run_id: int, token: int, error: BaseException, work: Path
) -> None:
    """Record in the run's row how it ended, and remove what it left, unless another process has taken it over."""
    if isinstance(error, SortlineError):
        state, reason = "failed", str(error)
    elif isinstance(error, KeyboardInterrupt | SystemExit):
        state, reason = "cancelled", "interrupted"
    else:
        state, reason = "failed", f"{type(error).__name__}: {error}".partition("\n")[0]
    try:
        with session(postgres) as opened:
            training_runs.finish(opened, run_id, token, state=state, error=reason)
            opened.commit()
            run = training_runs.get(opened, run_id)
    except (TransientError, DBAPIError) as away:
        log.error("training run %d ended (%s), but its row can't be written: %s", run_id, reason, away)
        return
    if run.model_version_id is None:
        withdraw(store, run_id, range(token, token + 1))
    if run.state not in ("waiting", "running"):
        shutil.rmtree(work, ignore_errors=True)
