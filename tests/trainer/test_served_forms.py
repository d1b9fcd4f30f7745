"""A form that labelled documents can't prove is judged again when traffic has come, and then serves."""

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from labelled_lines import labelled_lines
from sqlalchemy import select
from sqlalchemy.orm import Session
from tiny_bert import build_tiny_bert

import trainer.forms
from classifier.figures import FormFigures
from db.models import AuditEvent, Document, DriftReference, FormDraw, QueueItem, Review
from db.queries import model_forms, model_versions, people, training_runs
from sortline.errors import TrainingError
from sortline.settings import Settings
from trainer.evaluation import engine_gate, forms
from trainer.fine_tuning import student
from trainer.forms import improve_forms

pytest.importorskip("nncf")
pytest.importorskip("openvino")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"engine": "openvino"})


@pytest.fixture(autouse=True)
def few_documents_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model is calibrated by its few documents, and its int8 form is faster."""
    monkeypatch.setattr(engine_gate, "_CALIBRATED_BY", 5)
    monkeypatch.setattr(forms, "milliseconds", lambda classifiers, _texts: [1.5, 1.0][: len(classifiers)])
    monkeypatch.setattr(student, "LAYERS", (1,))  # it has three


@pytest.mark.slow
def test_traffic_proves_the_form_of_a_first_model(
    session: Session, settings: Settings, import_lines: Callable[..., object], train_now: Callable[..., int]
) -> None:
    import_lines(labelled_lines(241))
    version = model_versions.get(session, train_now(epochs=10, learning_rate=3e-3))
    assert (version.status, [form.name for form in model_forms.of_version(session, version.id)]) == (
        "active", ["whole"],
    )  # fmt: skip
    assert model_forms.due(session, students=True) == version.id
    assert improve_forms(settings, version.id) == []
    session.expire_all()
    int8 = model_forms.get(session, version.id, "int8")
    assert (version.status, version.form, int8.state) == ("active", "whole", "unproved")
    assert int8.uri != version.checkpoint_uri
    assert FormFigures.model_validate(int8.figures).engine == "openvino-int8"
    assert [row.form for row in session.scalars(select(DriftReference).order_by(DriftReference.form))] == [
        "int8", "whole",
    ]  # fmt: skip
    assert model_forms.due(session, students=True) is None

    add_traffic(session, 900)
    assert model_forms.due(session, students=True) == version.id
    assert improve_forms(settings, version.id) == ["int8"]

    session.expire_all()
    int8 = model_forms.get(session, version.id, "int8")
    assert (version.form, int8.state, int8.figures["traffic"]) == ("int8", "proved", 900)
    variants = FormFigures.model_validate(int8.figures).int8  # as the first verdict found them
    assert (variants.variant, [each.variant for each in variants.tried]) == ("plain", ["plain"])
    assert 0 < (variants.noise or 0) < (variants.most or 0)
    verdict = FormFigures.model_validate(int8.figures).verdict
    assert 600 <= (verdict.texts or 0) <= 926  # it ends with the part that proves it; 26 are validation documents
    (event,) = session.scalars(select(AuditEvent).where(AuditEvent.action == "serve_form"))
    assert (event.actor, event.detail) == ("trainer", {"form": "int8", "before": "whole"})
    assert improve_forms(settings, version.id) == []  # nothing is left to judge

    # What a person chose stays, however often it is judged.
    model_forms.serve_previous(session, version.id, "ann")
    model_forms.judged(session, version.id, "int8", "unproved", {}, 0)
    session.commit()
    assert improve_forms(settings, version.id) == ["int8"]
    session.expire_all()
    assert version.form == "whole"


@pytest.mark.slow
def test_people_prove_a_student_on_what_it_and_its_model_differ_on(
    session: Session, settings: Settings, import_lines: Callable[..., object], train_now: Callable[..., int],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(model_forms, "MOST_TRAFFIC", 900)
    base = tmp_path / "three-layers"
    base.mkdir()
    build_tiny_bert(base, layers=3)
    import_lines(labelled_lines(241))
    version = model_versions.get(session, train_now(base_model=str(base), epochs=20, learning_rate=3e-3))
    improve_forms(settings, version.id)  # int8
    assert model_forms.due(session, students=True) is None
    add_traffic(session, 900)

    # Traffic that can judge a student has come: it is taught, then compared with its model.
    assert model_forms.due(session, students=True) == version.id
    improve_forms(settings, version.id)
    session.expire_all()
    taught, int8 = (model_forms.get(session, version.id, name) for name in ("student", "student-int8"))
    assert [each.state for each in (taught, int8)] == ["unproved", "unproved"]
    assert FormFigures.model_validate(int8.figures).verdict.layers == 1
    assert FormFigures.model_validate(int8.figures).engine == "openvino-int8"
    assert model_forms.due(session, students=True) == version.id
    improve_forms(settings, version.id)

    # What they differ on waits at the desk, with no answer shown.
    session.expire_all()
    verdict = FormFigures.model_validate(int8.figures).verdict
    draws = session.scalars(select(FormDraw).where(FormDraw.name == "student-int8")).all()
    assert len(draws) == verdict.drawn == verdict.differ == verdict.missing > 0
    waiting = {item.document_id: item.reason for item in session.scalars(select(QueueItem))}
    assert {waiting[each.document_id] for each in draws} == {"shadow"}
    assert model_forms.due(session, students=True) is None

    # They find the students right; a form is due once the last document that was drawn for it is decided.
    reviewer = people.add(session, "ann", "reviewer", "test")
    drawn = session.scalars(select(FormDraw)).all()
    every = {each.document_id: each.form_label_id for each in drawn}
    left = {name: {each.document_id for each in drawn if each.name == name} for name in {each.name for each in drawn}}
    for document_id, label_id in every.items():
        assert (model_forms.due(session, students=True) is None) == all(left.values())
        for documents in left.values():
            documents.discard(document_id)
        session.add(Review(document_id=document_id, reviewer_id=reviewer.id, action="correct", label_id=label_id,
                           reason="shadow"))  # fmt: skip
        session.flush()
    session.commit()
    assert model_forms.due(session, students=True) == version.id
    proved = improve_forms(settings, version.id)

    session.expire_all()
    assert "student-int8" in proved
    assert version.form in {"student", "student-int8"}
    said = FormFigures.model_validate(int8.figures).verdict
    assert (said.outcome, said.gained, said.missing, said.layers) == ("proved", verdict.drawn, 0, 1)
    assert "decision" in said.reason
    assert model_forms.due(session, students=True) is None


@pytest.mark.slow
def test_a_training_that_people_wait_for_goes_before_a_student(
    session: Session, settings: Settings, import_lines: Callable[..., object], train_now: Callable[..., int],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(model_forms, "MOST_TRAFFIC", 60)
    monkeypatch.setattr(trainer.forms, "_LOOKED_EVERY_S", 0.0)
    base = tmp_path / "three-layers"
    base.mkdir()
    build_tiny_bert(base, layers=3)
    import_lines(labelled_lines(241))
    version = model_versions.get(session, train_now(base_model=str(base), epochs=20, learning_rate=3e-3))
    improve_forms(settings, version.id)
    add_traffic(session, 60)
    waiting = training_runs.create(session, "a person", {})
    session.commit()

    assert improve_forms(settings, version.id) == []
    assert {form.name for form in model_forms.of_version(session, version.id)} == {"whole", "int8"}
    work = settings.data_dir / "trainer" / f"forms-of-{version.id}"
    assert work.is_dir()

    training_runs.cancel(session, waiting.id, "ann")
    session.commit()
    improve_forms(settings, version.id)
    session.expire_all()
    assert model_forms.get(session, version.id, "student").state == "unproved"
    assert not work.exists()


@pytest.mark.slow
def test_a_student_that_is_asked_for_is_made_with_its_model(
    session: Session, settings: Settings, import_lines: Callable[..., object], train_now: Callable[..., int],
    tmp_path: Path,
) -> None:  # fmt: skip
    base = tmp_path / "three-layers"
    base.mkdir()
    build_tiny_bert(base, layers=3)
    import_lines(labelled_lines(241))

    version_id = train_now(base_model=str(base), epochs=2, student=1)

    forms = {form.name: form for form in model_forms.of_version(session, version_id)}
    assert set(forms) == {"whole", "int8", "student", "student-int8"}
    assert FormFigures.model_validate(forms["student"].figures).verdict.layers == 1
    with pytest.raises(TrainingError, match="a student of 3 layers and the last one is not smaller"):
        train_now(base_model=str(base), epochs=2, student=3)


def add_traffic(session: Session, count: int) -> None:
    """Documents that came by the queue, like those it was trained on."""
    rows = list(csv.DictReader(labelled_lines(count + 7)))[:count]
    for i, row in enumerate(rows):
        digest = hashlib.sha256(row["text"].encode()).digest()
        session.add(
            Document(source="mail", external_id=str(i), content_hash=digest, text=row["text"], lane="live",
                     entry_id=f"{i + 1}-0")
        )  # fmt: skip
    session.commit()
