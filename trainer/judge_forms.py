"""Judges the forms of a version again once traffic has come, and lets one serve that is proved by it."""

import logging
from collections.abc import Sequence

from sqlalchemy.orm import Session

from classifier.classifier import load_classifier
from classifier.figures import FormVerdict
from db.models import ModelForm, ModelVersion
from db.queries import model_forms, model_versions, training_runs
from db.session import session
from sortline.errors import ConflictError
from sortline.settings import Settings
from trainer.data.snapshot import read_snapshot
from trainer.data.traffic import unseen_traffic
from trainer.data.training_data import TrainingData
from trainer.evaluation.forms import AS_REFERENCE, Judge

log = logging.getLogger(__name__)


def judge_forms(settings: Settings, version_id: int) -> list[str]:
    """Judge the forms of the active version that are neither proved nor refused, on the traffic since its training.

    Returns:
        The names of the forms that are proved now; none if another version is active.

    Raises:
        SortlineError: the version or a form can't be loaded.
    """
    with session(settings.postgres_url) as opened:
        version = model_versions.active(opened)
        snapshot = None if version is None else training_runs.snapshot_of(opened, version.id)
        if version is None or version.id != version_id or snapshot is None:
            return []
        forms = [form for form in model_forms.of_version(opened, version_id) if form.state == "unproved"]
        if not forms:
            return []
        data = read_snapshot(opened, snapshot)
        traffic = unseen_traffic(opened, snapshot.created_at, data)
        opened.rollback()  # no transaction stays open while the forms answer
        verdicts = _verdicts(opened, version, forms, data, traffic, settings)
        return _store(opened, version, verdicts, len(traffic))


def _verdicts(
    opened: Session, version: ModelVersion, forms: Sequence[ModelForm], data: TrainingData, traffic: Sequence[str],
    settings: Settings,
) -> dict[str, FormVerdict]:  # fmt: skip
    whole = model_forms.sealed(opened, version, model_forms.WHOLE)
    sealed = {form.name: model_forms.sealed(opened, version, form.name) for form in forms}
    opened.rollback()
    reference = load_classifier(whole.uri, whole.sha256, settings.model_copy(update=AS_REFERENCE))
    usual = load_classifier(whole.uri, whole.sha256, settings)
    judge = Judge(reference, usual, data.validation, settings.gate_margin)
    return {
        name: judge.verdict(load_classifier(form.uri, form.sha256, settings), traffic)
        for name, form in sealed.items()
    }  # fmt: skip


def _store(opened: Session, version: ModelVersion, verdicts: dict[str, FormVerdict], texts: int) -> list[str]:
    """Store what was found; the fastest proved form serves, unless people have chosen one."""
    for name, verdict in verdicts.items():
        log.info("form %s of model version %d: %s", name, version.id, verdict.reason)
        model_forms.judged(opened, version.id, name, verdict.outcome or "unproved", verdict.stored(), texts)
    proved = sorted(
        (name for name, verdict in verdicts.items() if verdict.outcome == "proved"),
        key=lambda name: verdicts[name].speedup or 0.0,
    )
    if proved and not model_forms.chosen_by_people(opened, version.id):
        try:
            model_forms.serve(opened, version.id, proved[-1], "trainer", leave=version.form)
        except ConflictError as error:
            log.info("form %s does not serve: %s", proved[-1], error)
    opened.commit()
    return proved
