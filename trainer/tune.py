"""Tuning: which parameters train best, judged on validation and never on test.

The study is in Postgres, in a schema of its own: it can be interrupted and continued, and several processes may
share it. All of them train on the same frozen documents.
"""

import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from classifier.base_models import base_model_folder
from classifier.checkpoint import SnapshotReference
from classifier.cleaning import Cleaning
from classifier.store import ModelStore, model_store
from db.connection import engine_arguments
from db.queries import model_versions, server, snapshots, tuned_parameters
from db.queries.labelled import labelled_documents, lock_splits
from db.session import session
from sortline.counted import counted
from sortline.errors import SortlineError, TrainingError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from trainer.data.base_texts import with_readability
from trainer.data.snapshot import read_snapshot, store_snapshot
from trainer.data.split import assign_new
from trainer.data.training_data import TrainingData, label_indices, select
from trainer.evaluation.gate import macro_f1_difference
from trainer.fine_tuning.base_check import usable_base
from trainer.fine_tuning.fine_tune import Epoch, Machine, Progress, fine_tune
from trainer.fine_tuning.parameters import Parameters, read_parameters
from trainer.fine_tuning.pooling import pools_by_mean
from trainer.fine_tuning.prepare import find_base, prepare_job
from trainer.fine_tuning.work_folder import trainings_folder
from trainer.macro_f1 import macro_f1
from trainer.report.tuning import Outcome

_HEARTBEAT_S, _GRACE_S = 30, 120
_LEAST_VALIDATION = 50
_SEED = 13
TUNED = (
    "learning_rate", "batch_size", "epochs", "warmup", "weight_decay", "label_smoothing", "class_weighting",
    "head_factor", "layer_decay",
)  # fmt: skip
LabelIds = np.ndarray[Any, np.dtype[np.int64]]
_ENDED = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL)


@dataclass(frozen=True, slots=True)
class TuningProgress:
    """How far a tuning is: ``trial`` of ``trials``, counted from 1; ``best``: greatest macro-F1 so far."""

    trial: int
    trials: int
    stage: str
    best: float | None


# Parameters, name of the work folder, called with stages, called with epochs -> predicted labels.
Train = Callable[[Parameters, str, Callable[[str], None], Callable[[Epoch], None]], LabelIds]


def tune(
    settings: Settings,
    trials: int,
    study_name: str,
    base_models: tuple[str, ...] = (),
    timeout_s: float | None = None,
    on_progress: Callable[[TuningProgress], None] = lambda _: None,
) -> Outcome | None:
    """Run trials until the study has that many, whoever ran them; then check whether the best parameters are better.

    The first trials are the parameters used now and the defaults. A trial that is worse than the median of the earlier
    ones at the same epoch is ended (median pruning: with few trials, successive halving would end slow starters).

    Args:
        base_models: to choose between; empty: only the setting's.
        timeout_s: start no further trial after it.

    Returns:
        None if the time was up before it had its trials.

    Raises:
        TrainingError: there are too few documents to validate on, or every trial failed.
    """
    bases = [usable_base(name) for name in base_models or (settings.base_model,)]
    postgres, store = settings.postgres_url, model_store(settings)
    study = _open(postgres, study_name)
    data, snapshot = _data(postgres, settings.models, study, bases)
    with session(postgres) as opened:
        before = tuned_parameters.newest(opened) or {}
    if not study.get_trials(deepcopy=False):
        for known in (before, {}):
            study.enqueue_trial(_asked(known, data, settings.base_model), skip_if_exists=True)
    train = partial(_train, settings, store, data, snapshot)
    objective = partial(_objective, train, data, base_models, trials, on_progress)
    ends = None if timeout_s is None else time.monotonic() + timeout_s
    while (have := _ended(study)) < trials:
        if ends is not None and time.monotonic() > ends:
            return None
        study.optimize(objective, n_trials=1, catch=(SortlineError,))
        if _ended(study) == have:  # another process runs the last ones
            time.sleep(1)
    outcome = _conclude(train, study, data, before, trials, on_progress)
    folder = trainings_folder(settings.data_dir) / f"tuning-{study_name}-report"
    return _store(postgres, store, folder, study, outcome, len(data.known(data.validation)))


def default_name() -> str:
    """A study a day."""
    return f"tune-{datetime.now(UTC):%Y-%m-%d}"


def _open(postgres: PostgresAddress, name: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with session(postgres) as opened:
        server.make_optuna_schema(opened)
        opened.commit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        url, options = engine_arguments(postgres, server.OPTUNA)
        storage = optuna.storages.RDBStorage(
            url.render_as_string(),  # without a password: Optuna formats braces in it
            engine_kwargs=options,
            heartbeat_interval=_HEARTBEAT_S,
            grace_period=_GRACE_S,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=2),
        )
        return optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(multivariate=True, constant_liar=True),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        )


def _data(
    postgres: PostgresAddress, models: str, study: optuna.Study, bases: list[Path]
) -> tuple[TrainingData, SnapshotReference]:
    """The documents of the study: frozen by the first process, read by all."""
    with session(postgres) as opened:
        lock_splits(opened)
        known = study.user_attrs.get("snapshot_id")
        if known is None:
            assign_new(opened)
            trained = model_versions.trained(opened)
            documents = labelled_documents(opened)
            try:
                chosen = select(documents, known_labels=None if trained is None else trained.label_ids)
            except TrainingError as refusal:
                raise with_readability(refusal, documents, Cleaning(), bases) from None
            known = store_snapshot(opened, chosen, models, f"tuning-{study.study_name}").id
            opened.commit()
            study.set_user_attr("snapshot_id", known)
        row = snapshots.get(opened, int(known))
        data = read_snapshot(opened, row)
    known = counted(len(data.known(data.validation)), "validation document")
    if len(data.known(data.validation)) < _LEAST_VALIDATION:
        few = TrainingError(f"there are {known}, and tuning needs {_LEAST_VALIDATION}")
        raise with_readability(few, [*data.train, *data.held_out], Cleaning(), bases)
    return data, SnapshotReference(id=row.id, sha256=row.sha256)


def _asked(parameters: dict[str, Any], data: TrainingData, base_model: str) -> dict[str, Any]:
    """Values of everything that is tuned, from some parameters and the defaults."""
    base = base_model_folder(parameters.get("base_model") or base_model)
    settled = Parameters(**parameters).settled(len(data.train), len(data.labels), pools_by_mean(base))
    return {name: value for name, value in settled.model_dump().items() if name in TUNED}


def _suggest(trial: optuna.Trial, data: TrainingData, base_models: tuple[str, ...]) -> dict[str, Any]:
    epochs = Parameters().settled(len(data.train), len(data.labels)).epochs
    found: dict[str, Any] = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 5e-4, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
        "epochs": trial.suggest_int("epochs", 2, max(8, epochs * 3 // 2)),
        "warmup": trial.suggest_float("warmup", 0.0, 0.2),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 0.1, log=True),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        "class_weighting": trial.suggest_categorical("class_weighting", ["none", "balanced"]),
        "head_factor": trial.suggest_categorical("head_factor", [1.0, 3.0, 10.0, 30.0]),
        "layer_decay": trial.suggest_float("layer_decay", 0.8, 1.0),
    }
    if base_models:
        found["base_model"] = trial.suggest_categorical("base_model", list(base_models))
    return found


def _objective(
    train: Train,
    data: TrainingData,
    base_models: tuple[str, ...],
    trials: int,
    on_progress: Callable[[TuningProgress], None],
    trial: optuna.Trial,
) -> float:
    parameters = read_parameters(_suggest(trial, data, base_models))
    best = _best_value(trial.study)

    def on_epoch(epoch: Epoch) -> None:
        trial.report(epoch.macro_f1, epoch.epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    def on_stage(stage: str) -> None:
        on_progress(TuningProgress(trial.number + 1, trials, stage, best))

    try:
        name = f"tuning-{trial.study.study_name}-{trial.number}"
        predicted = train(parameters, name, on_stage, on_epoch)
    except SortlineError as error:
        trial.set_user_attr("error", str(error))
        raise
    return macro_f1(label_indices(data.known(data.validation), data.labels), predicted)


def _train(
    settings: Settings,
    store: ModelStore,
    data: TrainingData,
    snapshot: SnapshotReference,
    parameters: Parameters,
    name: str,
    on_stage: Callable[[str], None],
    on_epoch: Callable[[Epoch], None],
) -> LabelIds:
    """Fine-tune; returns the predicted label of each known validation document, (n,)."""
    work = trainings_folder(settings.data_dir) / name
    with session(settings.postgres_url) as opened:
        base = find_base(opened, store, parameters, settings.base_model)
    job, _ = prepare_job(base, parameters, data, snapshot, work / "tokenizer")

    def on_progress(progress: Progress) -> None:
        on_stage(f"step {progress.step:,} of {progress.steps:,}, loss {progress.loss:.3f}")

    try:
        learned = fine_tune(job, work, Machine.of(settings), on_progress, on_epoch)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return np.array(learned.predicted, np.int64)


def _ended(study: optuna.Study) -> int:
    """Trials that count: an interrupted one has failed too, but without an error."""
    trials = study.get_trials(deepcopy=False, states=_ENDED)
    return sum(trial.state != optuna.trial.TrialState.FAIL or "error" in trial.user_attrs for trial in trials)


def _best_value(study: optuna.Study) -> float | None:
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    return max((trial.value for trial in done if trial.value is not None), default=None)


def _conclude(
    train: Train,
    study: optuna.Study,
    data: TrainingData,
    before: dict[str, Any],
    trials: int,
    on_progress: Callable[[TuningProgress], None],
) -> Outcome:
    """Train the best parameters and those used now again, with another seed: the best of many are partly luck."""
    if _best_value(study) is None:
        reasons = [trial.user_attrs["error"] for trial in study.get_trials() if "error" in trial.user_attrs]
        raise TrainingError(f"every trial failed, the first because: {next(iter(reasons), 'no reason is recorded')}")
    best = study.best_trial.params
    truth = label_indices(data.known(data.validation), data.labels)

    def again(called: str, parameters: dict[str, Any]) -> LabelIds:
        def on_stage(stage: str) -> None:
            on_progress(TuningProgress(trials, trials, f"{called} once more, {stage}", study.best_value))

        asked = read_parameters({**parameters, "seed": _SEED + 1})
        return train(asked, f"tuning-{study.study_name}-{called}", on_stage, lambda _: None)

    tuned, untuned = again("best", best), again("before", before)
    gain, low, high = macro_f1_difference(truth, tuned, untuned)
    ended = study.get_trials(deepcopy=False)
    states = [trial.state for trial in ended]
    return Outcome(
        study=study.study_name,
        trials=_ended(study),
        pruned=states.count(optuna.trial.TrialState.PRUNED),
        failed=states.count(optuna.trial.TrialState.FAIL),
        best=best,
        macro_f1=macro_f1(truth, tuned),
        untuned_macro_f1=macro_f1(truth, untuned),
        gain=gain,
        gain_interval=[low, high],
        used=gain > 0,
        report="",
    )


def _store(
    postgres: PostgresAddress, store: ModelStore, folder: Path, study: optuna.Study, outcome: Outcome, documents: int
) -> Outcome:
    from trainer.report.tuning import write_tuning_report

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_tuning_report(folder, study, outcome, documents)
    outcome = replace(outcome, report=store.put_files(folder, f"tuning-{outcome.study}"))
    shutil.rmtree(folder, ignore_errors=True)
    if outcome.used:
        with session(postgres) as opened:
            tuned_parameters.store(
                opened,
                study=outcome.study,
                parameters=outcome.best,
                macro_f1=outcome.macro_f1,
                untuned_macro_f1=outcome.untuned_macro_f1,
                trials=outcome.trials,
                report_uri=outcome.report,
            )
            opened.commit()
    return outcome
