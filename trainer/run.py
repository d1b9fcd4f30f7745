"""One training run, from labelled documents to a model version."""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from classifier.base_models import base_model_folder
from classifier.checkpoint import Calibration, Checkpoint, SnapshotReference
from classifier.checkpoint_folder import StoredCheckpoint, write_checkpoint
from classifier.classifier import assemble
from classifier.store import ModelStore
from classifier.tokens import DEFAULT_OVERLAP, longest_input
from db.queries import model_versions, training_runs
from db.queries.labelled import labelled_documents
from db.session import session
from sortline.errors import ConflictError, SortlineError, TransientError
from sortline.settings import Settings
from trainer.compare import compare
from trainer.judge import class_indices, judge
from trainer.lease import Lease, Report
from trainer.parameters import Parameters, read_parameters
from trainer.snapshot import store_snapshot
from trainer.split import assign_new
from trainer.tokenizer import save_tokenizer, training_tokenizer
from trainer.training_data import TrainingData, select

log = logging.getLogger(__name__)


def train(settings: Settings, run_id: int, report: Report = lambda _: None) -> int | None:
    """Carry out a waiting run; the candidate goes live if the gate lets it pass.

    Args:
        report: called with progress: stage and, while fine-tuning, step, steps, loss, left_s.

    Returns:
        The model version's id; None when the run was not waiting any more.

    Raises:
        SortlineError: it failed; the run's row says why.
    """
    with session(settings.postgres_url) as opened:
        token = training_runs.claim(opened, run_id)
        opened.commit()
    if token is None:
        return None
    try:
        with Lease(settings, run_id, token, report) as lease:
            return _train(settings, lease)
    except BaseException as error:
        _note_failure(settings, run_id, token, error)
        raise


def _train(settings: Settings, lease: Lease) -> int:
    with session(settings.postgres_url) as opened:
        parameters = read_parameters(training_runs.get(opened, lease.run_id).parameters)
    base_model = parameters.base_model or settings.base_model
    base = base_model_folder(base_model)
    data, snapshot = _freeze(settings, lease, parameters)
    max_length = min(parameters.max_length, longest_input(base))
    description = Checkpoint(
        label_ids=[label_id for label_id, _ in data.labels],
        labels=[name for _, name in data.labels],
        cleaning=parameters.cleaning,
        max_length=max_length,
        window_overlap=min(DEFAULT_OVERLAP, max_length // 4),
        calibrations={"default": Calibration(threshold=settings.accept_threshold)},
        base_model=base_model,
        snapshot=snapshot,
    )
    with tempfile.TemporaryDirectory(prefix="sortline-") as name:
        draft = Path(name) / "draft"
        draft.mkdir()
        _fine_tune(settings, lease, parameters, base, data, description, draft)
        lease.tell("evaluating")
        classifier = assemble(draft, description, settings)
        judged = judge(classifier, data)
        lease.tell("comparing with the active version")
        verdict = compare(settings, classifier.calibrated_by(judged), data)
        lease.tell("writing the checkpoint")
        stored = write_checkpoint(
            Path(name) / f"run-{lease.run_id}",
            judged,
            lambda folder: shutil.copytree(draft, folder, dirs_exist_ok=True),
        )
        store = ModelStore(settings.models, settings.data_dir / "cache" / "checkpoints")
        uri = store.put(stored.folder, f"run-{lease.run_id}-{stored.sha256[:12]}")
    return _register(settings, lease, uri, stored, verdict)


def _freeze(settings: Settings, lease: Lease, parameters: Parameters) -> tuple[TrainingData, SnapshotReference]:
    """Take the labelled documents as they are now."""
    lease.tell("reading labelled documents")
    with session(settings.postgres_url) as opened:
        assign_new(opened)
        data = select(labelled_documents(opened), parameters.keep_near_duplicates, parameters.drop_rare_labels)
        row = store_snapshot(opened, data, settings.models, lease.run_id)
        opened.commit()
        return data, SnapshotReference(id=row.id, sha256=row.sha256)


def _fine_tune(
    settings: Settings,
    lease: Lease,
    parameters: Parameters,
    base: Path,
    data: TrainingData,
    description: Checkpoint,
    folder: Path,
) -> None:
    """Train, and save model and tokenizer in the folder."""
    from trainer.fine_tune import Progress, fine_tune

    save_tokenizer(base, folder)
    tokenizer = training_tokenizer(folder, base, description.max_length)
    texts = [description.cleaning(document.text) for document in data.train]

    def on_progress(progress: Progress) -> None:
        lease.tell(
            "fine-tuning",
            step=progress.step,
            steps=progress.steps,
            loss=round(progress.loss, 4),
            left_s=round(progress.left_s, 1),
        )

    model = fine_tune(
        base,
        [prepared.windows[0] for prepared in tokenizer.prepare(texts)],
        class_indices(data.train, description.labels).tolist(),
        description.labels,
        parameters,
        tokenizer.pad_id,
        settings,
        on_progress,
    )
    model.save_pretrained(folder)


def _register(settings: Settings, lease: Lease, uri: str, stored: StoredCheckpoint, verdict: dict[str, Any]) -> int:
    """The checkpoint becomes a model version, the verdict is carried out, and the run ends: one transaction."""
    description = stored.description
    with session(settings.postgres_url) as opened:
        before = model_versions.active(opened)
        version = model_versions.create(
            opened,
            checkpoint_uri=uri,
            sha256=stored.sha256,
            base_model=description.base_model,
            parent_id=before.id if before else None,
            label_ids=description.label_ids,
            metrics={**description.metrics, "gate": verdict},
        )
        model_versions.settle(
            opened, version.id, verdict["outcome"], verdict["against"], settings.auto_promote, actor="trainer"
        )
        ours = training_runs.finish(
            opened,
            lease.run_id,
            lease.token,
            state="done",
            model_version_id=version.id,
            snapshot_id=description.snapshot.id,
        )
        if not ours:
            raise ConflictError(f"training run {lease.run_id} was taken away from this process")
        opened.commit()
        return version.id


def _note_failure(settings: Settings, run_id: int, token: int, error: BaseException) -> None:
    if isinstance(error, SortlineError):
        state, reason = "failed", str(error)
    elif isinstance(error, KeyboardInterrupt):
        state, reason = "cancelled", "interrupted"
    else:
        state, reason = "failed", f"{type(error).__name__}: {error}".partition("\n")[0]
    try:
        with session(settings.postgres_url) as opened:
            training_runs.finish(opened, run_id, token, state=state, error=reason)
            opened.commit()
    except (TransientError, DBAPIError) as away:
        log.error("training run %d ended (%s), but its row can't be written: %s", run_id, reason, away)
