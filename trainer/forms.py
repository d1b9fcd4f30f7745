"""The forms of the active version: makes what is missing, judges it on traffic, and lets the best one serve."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from classifier.classifier import Classifier, assemble, fetch_checkpoint
from classifier.figures import FormVerdict
from classifier.store import ModelStore, model_store
from db.models import ModelForm, ModelVersion
from db.queries import model_forms, model_versions, training_runs
from db.session import session
from sortline.errors import ConflictError
from sortline.settings import Settings
from trainer.data.snapshot import read_snapshot
from trainer.data.traffic import Traffic, unseen_traffic
from trainer.data.training_data import TrainingData
from trainer.evaluation.baseline import majority_answers
from trainer.evaluation.cross_validation import Unseen
from trainer.evaluation.drift_reference import freeze
from trainer.evaluation.forms import AS_REFERENCE, CANDIDATES, Judge, best, try_forms
from trainer.evaluation.judge import Promise, judge
from trainer.fine_tuning.work_folder import trainings_folder
from trainer.publish import PublishedForm, publish_form

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Version:
    """What is known of the active version: its run, its forms, what it was trained on, and traffic since."""

    row: ModelVersion
    run_id: int
    whole: model_forms.Sealed
    forms: Sequence[ModelForm]
    data: TrainingData
    traffic: Traffic


def improve_forms(settings: Settings, version_id: int) -> list[str]:
    """Make and judge what `db.queries.model_forms.due` found to be due of the active version.

    Returns:
        The names of the forms that are proved now; none if another version is active.

    Raises:
        SortlineError: the version or a form can't be loaded.
    """
    with session(settings.postgres_url) as opened:
        found = _active(opened, version_id)
    if found is None:
        return []
    store = model_store(settings)
    stored = fetch_checkpoint(found.whole.uri, found.whole.sha256, store)
    reference = assemble(stored.folder, stored.description, settings.model_copy(update=AS_REFERENCE))
    usual = assemble(stored.folder, stored.description, settings)
    by = Judge(reference, usual, found.data.validation, settings.gate_margin)
    if {form.name for form in found.forms}.isdisjoint(CANDIDATES):
        return _make(settings, store, found, by, stored.folder)
    return _judge_again(settings, store, found, by)


def store_forms(
    opened: Session, version_id: int, forms: Sequence[PublishedForm], data: TrainingData, run_id: int
) -> None:
    """Store the rows of forms and what their traffic is compared with; the caller commits."""
    for each in forms:
        model_forms.add(
            opened, version_id, each.tried.name, each.tried.state, uri=each.uri, sha256=each.sha256,
            figures=each.figures,
        )  # fmt: skip
        if each.judged is not None:
            freeze(opened, version_id, data, each.judged, run_id)


def _active(opened: Session, version_id: int) -> _Version | None:
    version = model_versions.active(opened)
    made_by = None if version is None else training_runs.made_by(opened, version.id)
    if version is None or version.id != version_id or made_by is None:
        return None
    run_id, snapshot = made_by
    data = read_snapshot(opened, snapshot)
    names = dict(data.labels)
    # The model's order: a label that was renamed since would stand elsewhere.
    data = replace(data, labels=[(label_id, names.get(label_id, "")) for label_id in version.label_ids])
    traffic = unseen_traffic(opened, snapshot.created_at, data)
    whole = model_forms.sealed(opened, version, model_forms.WHOLE)
    forms = model_forms.of_version(opened, version.id)
    opened.expunge_all()
    return _Version(version, run_id, whole, forms, data, traffic)


def _make(settings: Settings, store: ModelStore, found: _Version, by: Judge, folder: Path) -> list[str]:
    """Make the candidate forms, without cross-validation, which only helps to plan thresholds."""
    nobody = Unseen([], np.empty((0, len(found.data.labels)), np.float32))
    promise = Promise(settings.risk_target, settings.risk_confidence, settings.accept_threshold)
    baselines = {"majority": majority_answers(found.data.train, found.data.test)}
    place = trainings_folder(settings.data_dir)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="forms-", dir=place) as work:
        tried = try_forms(by, folder, found.data, found.traffic.texts, settings, Path(work), log.info)
        name = found.row.checkpoint_uri.rstrip("/").rpartition("/")[2]
        made = [
            publish_form(
                each,
                judge(each.measured, found.data, baselines, nobody, promise) if each.measured else None,
                store,
                f"{name}.{Path(work).name}",  # two trainers may do this at once; the first one's is kept
            )
            for each in tried
        ]
    with session(settings.postgres_url) as opened:
        model_forms.hold(opened)
        if not {form.name for form in model_forms.of_version(opened, found.row.id)}.isdisjoint(CANDIDATES):
            for uri in filter(None, (each.uri for each in made)):
                store.delete(uri)
            return []
        store_forms(opened, found.row.id, made, found.data, found.run_id)
        for each in made:
            model_forms.judged(opened, found.row.id, each.tried.name, each.tried.state, each.tried.verdict.stored(),
                               found.traffic.documents)  # fmt: skip
        chosen = best(tried)
        _serve(opened, found.row, [] if chosen == model_forms.WHOLE else [chosen])
        opened.commit()
    return [each.name for each in tried if each.state == "proved"]


def _judge_again(settings: Settings, store: ModelStore, found: _Version, by: Judge) -> list[str]:
    verdicts: dict[str, FormVerdict] = {}
    for form in found.forms:
        if form.state == "unproved" and form.uri is not None:
            verdicts[form.name] = by.verdict(_load(form, store, settings), found.traffic.texts)
    with session(settings.postgres_url) as opened:
        model_forms.hold(opened)
        for name, verdict in verdicts.items():
            log.info("form %s of model version %d: %s", name, found.row.id, verdict.reason)
            state = verdict.outcome or "unproved"
            model_forms.judged(opened, found.row.id, name, state, verdict.stored(), found.traffic.documents)
        proved = sorted(
            (name for name, verdict in verdicts.items() if verdict.outcome == "proved"),
            key=lambda name: verdicts[name].speedup or 0.0,
        )
        _serve(opened, found.row, proved[-1:])
        opened.commit()
    return proved


def _serve(opened: Session, version: ModelVersion, chosen: Sequence[str]) -> None:
    """Let the chosen form serve, unless people have chosen one."""
    for name in chosen:
        if not model_forms.chosen_by_people(opened, version.id):
            try:
                model_forms.serve(opened, version.id, name, "trainer", leave=version.form)
            except ConflictError as error:
                log.info("form %s does not serve: %s", name, error)


def _load(form: ModelForm, store: ModelStore, settings: Settings) -> Classifier:
    assert form.uri is not None
    stored = fetch_checkpoint(form.uri, form.sha256, store)
    return assemble(stored.folder, stored.description, settings)
