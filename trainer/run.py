"""One training run, from labelled documents to a model version."""

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from classifier.base_models import base_model_folder
from classifier.calibration import fit_temperature, softmax
from classifier.checkpoint import Calibration, Checkpoint, SnapshotReference
from classifier.checkpoint_folder import write_checkpoint
from classifier.classifier import Classifier, assemble
from classifier.cleaning import Cleaning
from classifier.store import ModelStore
from classifier.tokens import DEFAULT_OVERLAP, WindowTokenizer, longest_input, read_config, read_tokenizer
from db.queries import model_versions, training_runs
from db.queries.labelled import Labelled, labelled_documents
from db.session import session
from sortline.errors import SortlineError, TrainingError
from sortline.settings import Settings
from trainer.evaluate import evaluate
from trainer.snapshot import TrainingData, select, store_snapshot

log = logging.getLogger(__name__)

Report = Callable[[dict[str, Any]], None]
_BEAT_EVERY_S = 2.0


class _Run:
    """A claimed run: its heartbeat, and whether it is still ours."""

    def __init__(self, settings: Settings, run_id: int, token: int, report: Report) -> None:
        self.settings = settings
        self.run_id = run_id
        self.token = token
        self.report = report
        self._last = 0.0

    def tell(self, stage: str, now: bool = True, **progress: Any) -> None:
        """Note progress, at most every two seconds unless ``now``.

        Raises:
            TrainingError: the run was cancelled or given to another process.
        """
        said = {"stage": stage, **progress}
        self.report(said)
        if not now and time.monotonic() - self._last < _BEAT_EVERY_S:
            return
        self._last = time.monotonic()
        with session(self.settings.postgres_url) as opened:
            ours = training_runs.beat(opened, self.run_id, self.token, said)
            opened.commit()
        if not ours:
            raise TrainingError(f"training run {self.run_id} was taken away from this process")


def train(settings: Settings, run_id: int, report: Report = lambda _: None) -> int | None:
    """Carry out a waiting run; the first model version is promoted, later ones stay candidates.

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
    run = _Run(settings, run_id, token, report)
    try:
        return _train(settings, run)
    except BaseException as error:
        expected = isinstance(error, SortlineError)
        reason = str(error) if expected else f"{type(error).__name__}: {error}".partition("\n")[0]
        with session(settings.postgres_url) as opened:
            training_runs.finish(opened, run_id, token, state="failed", error=reason)
            opened.commit()
        raise


def _train(settings: Settings, run: _Run) -> int:
    from trainer.fine_tune import Progress, fine_tune

    asked, parameters, cleaning = _read_parameters(settings, run)
    base_model = str(asked.get("base_model") or settings.base_model)
    base = base_model_folder(base_model)
    with session(settings.postgres_url) as opened:
        run.tell("reading labelled documents")
        data = select(labelled_documents(opened), bool(asked.get("keep_near_duplicates")))
        snapshot = store_snapshot(opened, data, settings.models, run.run_id)
        opened.commit()
        reference = SnapshotReference(id=snapshot.id, sha256=snapshot.sha256)
    labels = [name for _, name in data.labels]
    description = Checkpoint(
        label_ids=[label_id for label_id, _ in data.labels],
        labels=labels,
        cleaning=cleaning,
        max_length=min(parameters.max_length, longest_input(base)),
        window_overlap=min(DEFAULT_OVERLAP, parameters.max_length // 4),
        calibrations={"default": Calibration(threshold=settings.accept_threshold)},
        base_model=base_model,
        snapshot=reference,
    )
    tokenizer = _tokenizer(base, description)
    documents = [item.windows[0] for item in tokenizer.prepare([cleaning(d.text) for d in data.train])]

    def on_progress(progress: Progress) -> None:
        run.tell("fine-tuning", progress.step == progress.steps, step=progress.step, steps=progress.steps,
                 loss=round(progress.loss, 4), left_s=round(progress.left_s, 1))  # fmt: skip

    model = fine_tune(
        base,
        documents,
        _targets(data.train, labels).tolist(),
        labels,
        parameters,
        tokenizer.pad_id,
        on_progress,
    )

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        (folder / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes())
        extra = base / "tokenizer_config.json"
        if extra.is_file():
            (folder / "tokenizer_config.json").write_bytes(extra.read_bytes())

    return _finish(settings, run, description, data, save)


def _finish(
    settings: Settings, run: _Run, description: Checkpoint, data: TrainingData, save: Callable[[Path], None]
) -> int:
    with tempfile.TemporaryDirectory(prefix="sortline-") as name:
        draft = Path(name) / "draft"
        draft.mkdir()
        save(draft)
        run.tell("calibrating")
        classifier = assemble(draft, description, settings)
        description, metrics = _judge(classifier, description, data)
        run.tell("writing the checkpoint")
        stored = write_checkpoint(Path(name) / f"run-{run.run_id}", description, save)
        store = ModelStore(settings.models, settings.data_dir / "cache" / "checkpoints")
        uri = store.put(stored.folder, f"run-{run.run_id}-{stored.sha256[:12]}")
    with session(settings.postgres_url) as opened:
        before = model_versions.active(opened)
        version = model_versions.create(
            opened, checkpoint_uri=uri, sha256=stored.sha256, base_model=description.base_model,
            parent_id=before.id if before else None, label_ids=description.label_ids, metrics=metrics,
        )  # fmt: skip
        if before is None:
            model_versions.activate(opened, version.id, actor="trainer")
        snapshot_id = description.snapshot.id
        if not training_runs.finish(
            opened, run.run_id, run.token, state="done", model_version_id=version.id, snapshot_id=snapshot_id
        ):
            raise TrainingError(f"training run {run.run_id} was taken away from this process")
        opened.commit()
        return version.id


def _judge(classifier: Classifier, description: Checkpoint, data: TrainingData) -> tuple[Checkpoint, dict[str, Any]]:
    """Fit the temperature on validation, then look at test once, with the engine that will serve."""
    labels = description.labels
    validation = classifier.logits([d.text for d in data.validation]) if data.validation else np.empty((0, 0))
    temperature = fit_temperature(np.asarray(validation, np.float32), _targets(data.validation, labels))
    calibration = Calibration(temperature=temperature, threshold=description.calibration("default").threshold)
    calibrations = {"default": calibration, classifier.engine.name: calibration}
    metrics: dict[str, Any] = {
        "engine": classifier.engine.name, "temperature": temperature, "snapshot": data.counts,
    }  # fmt: skip
    if data.test:
        logits = classifier.logits([d.text for d in data.test])
        targets = _targets(data.test, labels)
        metrics["test"] = evaluate(softmax(logits, temperature), targets, labels, calibration.threshold)
    judged = description.model_copy(update={"calibrations": calibrations, "metrics": metrics})
    return judged, metrics


def _read_parameters(settings: Settings, run: _Run) -> tuple[dict[str, Any], Any, Cleaning]:
    from trainer.fine_tune import Parameters

    with session(settings.postgres_url) as opened:
        asked = dict(training_runs.get(opened, run.run_id).parameters)
    known = {name: asked[name] for name in Parameters.model_fields if asked.get(name) is not None}
    try:
        parameters = Parameters(**known)
    except ValidationError as error:
        first = error.errors()[0]
        raise TrainingError(f"parameter {first['loc'][0]}: {first['msg']}") from None
    return asked, parameters, Cleaning.from_dict(asked.get("cleaning") or {})


def _tokenizer(base: Path, description: Checkpoint) -> WindowTokenizer:
    return WindowTokenizer(
        read_tokenizer(base), description.max_length, "truncate", description.window_overlap,
        read_config(base).get("pad_token_id") or 0,
    )  # fmt: skip


def _targets(documents: list[Labelled], labels: list[str]) -> np.ndarray:
    index = {label: i for i, label in enumerate(labels)}
    return np.array([index[document.label] for document in documents], dtype=np.int64)
