"""A form that labelled documents can't prove is judged again when traffic has come, and then serves."""

import csv
import hashlib
from collections.abc import Callable

import pytest
from labelled_lines import labelled_lines
from sqlalchemy import select
from sqlalchemy.orm import Session

from classifier.figures import FormFigures
from db.models import AuditEvent, Document, DriftReference
from db.queries import model_forms, model_versions
from sortline.settings import Settings
from trainer.evaluation import engine_gate, forms
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


@pytest.mark.slow
def test_traffic_proves_the_form_of_a_first_model(
    session: Session, settings: Settings, import_lines: Callable[..., object], train_now: Callable[..., int]
) -> None:
    import_lines(labelled_lines(241))
    version = model_versions.get(session, train_now(epochs=10, learning_rate=3e-3))
    assert (version.status, [form.name for form in model_forms.of_version(session, version.id)]) == (
        "active", ["whole"],
    )  # fmt: skip
    assert model_forms.due(session) == version.id
    assert improve_forms(settings, version.id) == []
    session.expire_all()
    int8 = model_forms.get(session, version.id, "int8")
    assert (version.status, version.form, int8.state) == ("active", "whole", "unproved")
    assert int8.uri != version.checkpoint_uri
    assert FormFigures.model_validate(int8.figures).engine == "openvino-int8"
    assert [row.form for row in session.scalars(select(DriftReference).order_by(DriftReference.form))] == [
        "int8", "whole",
    ]  # fmt: skip
    assert model_forms.due(session) is None

    add_traffic(session, 900)
    assert model_forms.due(session) == version.id
    assert improve_forms(settings, version.id) == ["int8"]

    session.expire_all()
    int8 = model_forms.get(session, version.id, "int8")
    assert (version.form, int8.state, int8.figures["traffic"]) == ("int8", "proved", 900)
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
