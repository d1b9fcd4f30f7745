"""The forms of the active version: makes what is missing, judges it on traffic, and lets the best one serve."""

import logging
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from classifier.classifier import Classifier, assemble, fetch_checkpoint
from classifier.figures import FormFigures, FormVerdict
from classifier.store import ModelStore, model_store
from db.models import ModelForm, ModelVersion
from db.queries import form_draws, model_forms, model_versions, risk_targets, training_runs
from db.queries.form_draws import Disagreement
from db.session import session
from sortline.errors import ConflictError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from trainer.data.snapshot import read_snapshot
from trainer.data.traffic import Traffic, texts_to_teach, unseen_traffic
from trainer.data.training_data import TrainingData
from trainer.evaluation.answering import logits_of
from trainer.evaluation.baseline import majority_answers
from trainer.evaluation.cross_validation import Unseen
from trainer.evaluation.disagreements import Decided
from trainer.evaluation.drift_reference import freeze
from trainer.evaluation.forms import AS_REFERENCE, Judge, Tried, try_int8
from trainer.evaluation.judge import Promise, judge
from trainer.evaluation.students import STUDENTS, Difference, differences, drawn, try_students
from trainer.fine_tuning.fine_tune import Progress
from trainer.fine_tuning.parameters import Parameters, read_parameters
from trainer.fine_tuning.work_folder import trainings_folder
from trainer.publish import PublishedForm, publish_form

log = logging.getLogger(__name__)

_LOOKED_EVERY_S = 5.0  # whether people wait for a training


class _Postponed(Exception):  # noqa: N818 - no error
    """A training waits, which goes before the teaching of a student."""


@dataclass(frozen=True)
class _Version:
    """What is known of the active version: its run, its forms, what it was trained on, and traffic since."""

    row: ModelVersion
    run_id: int
    parameters: Parameters
    whole: model_forms.Sealed
    forms: Sequence[ModelForm]
    data: TrainingData
    traffic: Traffic
    to_teach: list[str]

    def lacks(self, names: Collection[str]) -> bool:
        return {form.name for form in self.forms}.isdisjoint(names)


def improve_forms(settings: Settings, version_id: int, student_now: bool = False) -> list[str]:
    """Make or judge what `db.queries.model_forms.due` found to be due of the active version.

    Teaching a student stops when people wait for a training, and continues there the next time.

    Args:
        student_now: make the student before traffic can judge it.

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
    if found.lacks(["int8"]):
        return _make_int8(settings, store, found, by, stored.folder)
    judged_by_traffic = settings.students and found.traffic.documents >= model_forms.MOST_TRAFFIC
    if found.lacks(STUDENTS) and (judged_by_traffic or student_now):
        return _make_students(settings, store, found, by, stored.folder)
    return _judge_again(settings, store, found, by)


def promise_of(settings: Settings) -> Promise:
    """What thresholds are to keep: at the target that people have chosen, else at the setting's."""
    with session(settings.postgres_url) as opened:
        target = risk_targets.chosen(opened)
    return Promise(target or settings.risk_target, settings.risk_confidence, settings.accept_threshold)


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
    to_teach = texts_to_teach(opened, snapshot.created_at, data, traffic)
    parameters = read_parameters(training_runs.get(opened, run_id).parameters)
    whole = model_forms.sealed(opened, version, model_forms.WHOLE)
    forms = model_forms.of_version(opened, version.id)
    opened.expunge_all()
    return _Version(version, run_id, parameters, whole, forms, data, traffic, to_teach)


def _make_int8(settings: Settings, store: ModelStore, found: _Version, by: Judge, folder: Path) -> list[str]:
    place = trainings_folder(settings.data_dir)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="forms-", dir=place) as work:
        tried = try_int8(by, folder, found.data, found.traffic.texts, settings, Path(work), _log_stage)
        return _keep(settings, store, found, [tried], found.traffic.documents)


def _make_students(settings: Settings, store: ModelStore, found: _Version, by: Judge, folder: Path) -> list[str]:
    work = trainings_folder(settings.data_dir) / f"forms-of-{found.row.id}"
    work.mkdir(parents=True, exist_ok=True)
    waits = _waits(settings.postgres_url)

    def on_progress(_: Progress) -> None:
        if next(waits):
            raise _Postponed

    try:
        tried = try_students(
            by, folder, found.data, found.to_teach, found.parameters, settings, work, _log_stage, on_progress
        )
    except _Postponed:
        log.info("the student of model version %d waits for a training", found.row.id)
        return []
    kept = _keep(settings, store, found, tried, 0)
    shutil.rmtree(work, ignore_errors=True)
    return kept


def _log_stage(stage: str, **progress: int) -> None:
    if not progress:
        log.info("%s", stage)


def _waits(postgres: PostgresAddress) -> Iterator[bool]:
    """Whether people wait for a training, each time that it is asked; the database is asked every five seconds."""
    asked = time.monotonic()
    while True:
        if time.monotonic() - asked < _LOOKED_EVERY_S:
            yield False
            continue
        with session(postgres) as opened:
            yield training_runs.unfinished(opened) is not None
        asked = time.monotonic()


def _keep(
    settings: Settings, store: ModelStore, found: _Version, tried: Sequence[Tried], traffic: int
) -> list[str]:  # fmt: skip
    """Put forms into the store and their rows into the database, unless another trainer was first."""
    # Without cross-validation, which only helps to plan thresholds.
    nobody = Unseen([], np.empty((0, len(found.data.labels)), np.float32))
    promise = promise_of(settings)
    baselines = {"majority": majority_answers(found.data.train, found.data.known(found.data.test))}
    name = found.row.checkpoint_uri.rstrip("/").rpartition("/")[2]
    made = [
        publish_form(
            each,
            judge(each.measured, found.data, baselines, nobody, promise) if each.measured else None,
            store,
            f"{name}.{time.time_ns():x}",  # two trainers may do this at once
        )
        for each in tried
    ]
    with _rows(settings.postgres_url) as opened:
        having = {form.name for form in model_forms.of_version(opened, found.row.id)}
        if not having.isdisjoint(each.tried.name for each in made):
            for uri in filter(None, (each.uri for each in made)):
                store.delete(uri)
            return []
        store_forms(opened, found.row.id, made, found.data, found.run_id)
        for each in tried:
            model_forms.judged(opened, found.row.id, each.name, each.state, each.verdict.stored(), traffic)
        _serve_best(opened, found.row)
    return [each.name for each in tried if each.state == "proved"]


def _judge_again(settings: Settings, store: ModelStore, found: _Version, by: Judge) -> list[str]:
    """Judge what is not proved, each form once with what there is now."""
    verdicts: dict[str, FormVerdict] = {}
    draws: dict[str, Sequence[Disagreement]] = {}
    said: list[int] | None = None
    for form in found.forms:
        if form.state != "unproved" or form.uri is None:
            continue
        classifier = _load(form, store, settings)
        if form.name not in STUDENTS:
            verdicts[form.name] = by.verdict(classifier, found.traffic.texts)
            continue
        before = FormFigures.model_validate(form.figures)
        if before.traffic == model_forms.MOST_TRAFFIC:
            decided = _decided(settings.postgres_url, form, before.verdict)
        elif found.traffic.documents >= model_forms.MOST_TRAFFIC:
            said = said or logits_of(by.reference, found.traffic.texts).argmax(axis=1).tolist()
            differ = differences(said, classifier, found.traffic.texts)
            draws[form.name] = _drawn(found, differ)
            decided = Decided(len(found.traffic.texts), len(differ), len(draws[form.name]))
        else:
            continue
        verdicts[form.name] = by.student_verdict(classifier, decided).model_copy(
            update={"layers": before.verdict.layers}
        )
    with _rows(settings.postgres_url) as opened:
        for name, verdict in verdicts.items():
            log.info("form %s of model version %d: %s", name, found.row.id, verdict.reason)
            state = verdict.outcome or "unproved"
            model_forms.judged(opened, found.row.id, name, state, verdict.stored(), found.traffic.documents)
        for name, disagreements in draws.items():
            if verdicts[name].outcome == "unproved":
                form_draws.draw(opened, found.row.id, name, disagreements)
        _serve_best(opened, found.row)
    return [name for name, verdict in verdicts.items() if verdict.outcome == "proved"]


def _drawn(found: _Version, differ: Sequence[Difference]) -> list[Disagreement]:
    ids, labels = found.traffic.ids, found.row.label_ids
    return [
        Disagreement(ids[each.text], labels[each.said], labels[each.form_said])
        for each in drawn(differ, ids, found.row.id)
    ]


def _decided(postgres: PostgresAddress, form: ModelForm, before: FormVerdict) -> Decided:
    """What people have decided of a form's disagreements; those whose documents were erased are not drawn any more."""
    with session(postgres) as opened:
        counts = form_draws.count(opened, form.model_version_id, form.name)
    return Decided(before.texts or 0, before.differ or 0, *counts)


@contextmanager
def _rows(postgres: PostgresAddress) -> Iterator[Session]:
    """A transaction in which nobody else changes forms or promotes."""
    with session(postgres) as opened:
        model_forms.hold(opened)
        yield opened
        opened.commit()


def _serve_best(opened: Session, version: ModelVersion) -> None:
    """Let the fastest form that is proved serve, unless people have chosen one."""
    proved = [
        (FormFigures.model_validate(form.figures).verdict.speedup or 0.0, form.name)
        for form in model_forms.of_version(opened, version.id)
        if form.state == "proved" and form.name != model_forms.WHOLE
    ]
    name = max(proved)[1] if proved else model_forms.WHOLE
    if name in {model_forms.WHOLE, version.form} or model_forms.chosen_by_people(opened, version.id):
        return
    try:
        model_forms.serve(opened, version.id, name, "trainer", leave=version.form)
    except ConflictError as error:
        log.info("form %s does not serve: %s", name, error)


def _load(form: ModelForm, store: ModelStore, settings: Settings) -> Classifier:
    assert form.uri is not None
    stored = fetch_checkpoint(form.uri, form.sha256, store)
    return assemble(stored.folder, stored.description, settings)
