"""One training run, from labelled documents to a model version."""

import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from sqlalchemy.exc import DBAPIError

from classifier.checkpoint_folder import library_versions
from classifier.classifier import assemble, load_classifier
from classifier.figures import Verdict
from classifier.store import ModelStore, model_store
from db.queries import model_versions, snapshots, starters, training_runs
from db.session import session
from sortline.errors import SortlineError, TrainingError, TransientError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from sortline.training_progress import PREPARING
from sortline.whole_file import is_disk_full
from trainer.data import bounds
from trainer.data.traffic import Traffic, texts_to_teach, unseen_traffic
from trainer.data.training_data import TrainingData
from trainer.evaluation.accepted_errors import accepted_errors, and_also
from trainer.evaluation.against_starter import NONE, Unlearnt
from trainer.evaluation.baseline import LabelIds, baseline_answers
from trainer.evaluation.compare import compare
from trainer.evaluation.cross_validation import Unseen, cross_validate
from trainer.evaluation.forms import AS_REFERENCE, Judge, Measured, Tried, measure, try_int8
from trainer.evaluation.judge import Judged, judge
from trainer.evaluation.label_errors import find_label_errors
from trainer.evaluation.made_anew import Made, StarterBasis, answers_of_both
from trainer.evaluation.students import try_students
from trainer.fine_tuning.fine_tune import Machine
from trainer.fine_tuning.kept_embeddings import kept_embeddings
from trainer.fine_tuning.sentence_embeddings import Matrix
from trainer.fine_tuning.work_folder import work_folder
from trainer.forms import promise_of
from trainer.learn import Learnt, learn, report_steps
from trainer.lease import Lease, Report
from trainer.publish import Published, checkpoint_name, publish, publish_form, withdraw
from trainer.register import register
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
    store, machine = model_store(settings), Machine.of(settings)
    withdraw(store, lease.run_id, range(1, lease.token))
    learnt = learn(settings, store, machine, lease, work)
    data, draft, kept = learnt.data, _draft(work), kept_embeddings(work, len(learnt.data.train))
    measured = _measure(settings, machine, lease, learnt, draft, kept)
    lease.report("fitting confidences and thresholds")
    judge_as = partial(
        judge, data=data, baselines=measured.baselines, cross_validated=measured.cross_validated,
        promise=promise_of(settings),
    )  # fmt: skip
    judged = judge_as(measured.whole)
    lease.report("looking for label errors")
    unseen = Unseen(data.held_out, judged.probabilities)
    suspects = find_label_errors(data.labels, [measured.cross_validated, unseen])
    verdict = _verdict(settings, machine, lease, learnt, judged, measured.baselines, work)
    judged = judged.with_figures(
        learning=learnt.fine_tuned.learning,
        parameters=learnt.job.parameters.model_dump(mode="json", exclude={"cleaning"}),
        versions=library_versions(),
        size_bytes=sum(path.stat().st_size for path in draft.rglob("*") if path.is_file()),
        label_errors=len(suspects),
        readability=learnt.readable.figures(),
        gate=verdict,
    )
    tried = _try_forms(settings, lease, learnt, measured.whole, verdict, draft, work, kept)
    name = checkpoint_name(lease.run_id, lease.token)
    forms = [publish_form(each, judge_as(each.measured) if each.measured else None, store, name) for each in tried]
    lease.report("writing the checkpoint and its report")
    published = publish(draft, judged, data, suspects, store, lease.run_id, lease.token)
    _forget_erased(settings.postgres_url, published)
    return register(settings.postgres_url, lease, published, judged, data, suspects, forms, settings.auto_promote)


class _Measurements(NamedTuple):
    whole: Measured
    baselines: dict[str, LabelIds]
    cross_validated: Unseen


def _measure(
    settings: Settings, machine: Machine, lease: Lease, learnt: Learnt, draft: Path, kept: Matrix | None
) -> _Measurements:
    """Let the model answer, and others that it is compared with."""
    data = learnt.data
    with ThreadPoolExecutor(1) as beside:  # much of the conversion takes one core
        folds: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
        answers = beside.submit(_cross_validate, machine, learnt, kept, lambda *done: folds.put(done))
        answers.add_done_callback(lambda _: folds.put(None))
        lease.report(PREPARING)
        classifier = assemble(draft, learnt.description, settings)
        answered = lease.counting("answering held-out documents and a sample of the others")
        whole = measure(classifier, data, settings, kept, answered)
        lease.report("fitting simple classifiers to compare with")
        baselines = baseline_answers(data.train, data.known(data.test))
        crossing = lease.counting("cross-validating training documents")
        crossing(0, min(len(data.train), bounds.CROSS_VALIDATED))
        for done in iter(folds.get, None):
            crossing(*done)
        return _Measurements(whole, baselines, answers.result())


def _verdict(
    settings: Settings, machine: Machine, lease: Lease, learnt: Learnt, judged: Judged,
    baselines: dict[str, LabelIds], work: Path,
) -> Verdict:  # fmt: skip
    """The gate's verdict on the candidate, beside the active version."""
    lease.report("comparing with the active version")
    data = learnt.data
    made = Made(
        learnt.job, learnt.description, work / "tokenizer", machine,
        lambda folder, form: assemble(folder, form, settings.model_copy(update=AS_REFERENCE)),
    )  # fmt: skip
    verdict = compare(
        settings.postgres_url, judged.classifier, data, baselines, partial(load_classifier, settings=settings),
        settings.gate_margin, partial(_made_anew, settings, lease, made, data, work / "anew"),
        lease.counting("comparing with the active version"),
        judged.probabilities[len(data.held_out) - len(data.test) :],
    )  # fmt: skip
    return and_also(verdict, accepted_errors(judged, data))


def _try_forms(
    settings: Settings, lease: Lease, learnt: Learnt, whole: Measured, verdict: Verdict, draft: Path, work: Path,
    kept: Matrix | None,
) -> list[Tried]:  # fmt: skip
    """The forms that are made at once.

    A first model serves at once, and its forms follow (`trainer.forms`); a later one waits for int8. A student waits
    for traffic that can judge it, unless it is asked for.
    """
    parameters, data = learnt.parameters, learnt.data
    asks_student = bool(parameters.student or parameters.student_base)
    if verdict.against is None and not asks_student:
        return []
    reference = assemble(draft, learnt.description, settings.model_copy(update=AS_REFERENCE))
    compared = lease.counting("comparing forms with the whole model")
    by = Judge(reference, whole.classifier, data.validation, settings.gate_margin, compared)
    traffic, to_teach = _traffic(settings.postgres_url, lease.run_id, data)
    tried = [try_int8(by, draft, data, traffic.texts, settings, work, lease.report, kept)]
    if asks_student:
        learns = partial(report_steps, lease, "teaching the student")
        tried += try_students(by, draft, data, to_teach, parameters, settings, work, lease.report, learns)
    return tried


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
    machine: Machine, learnt: Learnt, embeddings: Matrix | None, on_progress: Callable[[int, int], None]
) -> Unseen:
    """Answers to the training documents by models that never saw them; if that fails, the run goes on without them."""
    data, base, cleaning = learnt.data, learnt.base.folder, learnt.description.cleaning
    try:
        return cross_validate(data, base, cleaning, machine.device, machine.threads, embeddings, on_progress)
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
        return answers_of_both(made, basis, data, work, partial(report_steps, lease))
    except SortlineError as error:
        log.warning("the candidate and the starter are not cross-validated: %s", error)
        return NONE


def _forget_erased(postgres: PostgresAddress, published: Published) -> None:
    """Remove from the report what was erased since it was frozen, when there was no report to erase it from."""
    with session(postgres) as opened:
        forget_erased(opened, [f"{published.report}/{TEXTS}"])
        opened.commit()


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
