"""The forms of a model version: which one serves, who chose it, and when more traffic may prove one."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import AuditEvent, Document, ModelVersion, Snapshot, TrainingRun
from db.queries import model_forms, model_versions
from sortline.errors import ConflictError, NotFoundError


@pytest.fixture
def version(session: Session) -> ModelVersion:
    """An active version with its whole model and an int8 form about which nothing is shown."""
    metrics = {"threshold": 0.9, "temperature": 1.0, "label_errors": 3}
    made = model_versions.create(
        session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1], metrics=metrics
    )  # fmt: skip
    model_forms.add(session, made.id, "whole", "proved", uri="x", sha256="0")
    model_forms.add(session, made.id, "int8", "unproved", uri="y", sha256="1", figures={"threshold": 0.8})
    return model_versions.activate(session, made.id, "me")


def test_a_form_that_is_not_proved_needs_a_reason(session: Session, version: ModelVersion) -> None:
    with pytest.raises(ConflictError, match="form int8 of model version 1 is unproved; it needs a reason to serve"):
        model_forms.serve(session, version.id, "int8", "ann")

    assert model_forms.serve(session, version.id, "int8", "ann", because="we need the speed").form == "int8"

    (row,) = session.scalars(select(AuditEvent).where(AuditEvent.action == "serve_form"))
    assert (row.actor, row.subject) == ("ann", f"model_version:{version.id}")
    assert row.detail == {"form": "int8", "before": "whole", "because": "we need the speed"}


def test_a_request_that_is_repeated_changes_nothing(session: Session, version: ModelVersion) -> None:
    model_forms.judged(session, version.id, "int8", "proved", {"served": True}, 800)
    model_forms.serve(session, version.id, "int8", "ann", leave="whole")

    with pytest.raises(ConflictError, match="serves already"):
        model_forms.serve(session, version.id, "int8", "ann", leave="whole")
    model_forms.serve_previous(session, version.id, "ann", leave="int8")
    with pytest.raises(ConflictError, match="form int8 of model version 1 no longer serves; form whole does"):
        model_forms.serve_previous(session, version.id, "ann", leave="int8")
    with pytest.raises(ConflictError, match="form student of model version 1 no longer serves; form whole does"):
        model_forms.serve(session, version.id, "int8", "ann", leave="student")


def test_what_was_not_made_or_does_not_exist_never_serves(session: Session, version: ModelVersion) -> None:
    model_forms.add(session, version.id, "student", "missing")

    with pytest.raises(ConflictError, match="could not be made"):
        model_forms.serve(session, version.id, "student", "ann", because="I want it")
    with pytest.raises(NotFoundError, match="model version 1 has no form 'student-int8'"):
        model_forms.serve(session, version.id, "student-int8", "ann", because="I want it")


def test_going_back_serves_the_form_before(session: Session, version: ModelVersion) -> None:
    with pytest.raises(ConflictError, match="has not served in another form than whole"):
        model_forms.serve_previous(session, version.id, "ann")
    model_forms.serve(session, version.id, "int8", "trainer", because="proved")

    assert model_forms.serve_previous(session, version.id, "ann").form == "whole"
    assert model_forms.chosen_by_people(session, version.id)


def test_the_trainers_own_choice_is_no_persons(session: Session, version: ModelVersion) -> None:
    model_forms.serve(session, version.id, "int8", "trainer", because="proved")

    assert not model_forms.chosen_by_people(session, version.id)


def test_figures_are_those_of_the_form_that_serves(session: Session, version: ModelVersion) -> None:
    assert model_forms.served_figures(session, version)["threshold"] == 0.9

    model_forms.serve(session, version.id, "int8", "ann", because="we need the speed")

    assert model_forms.served_figures(session, version) == {"threshold": 0.8, "temperature": 1.0, "label_errors": 3}
    assert model_forms.sealed(session, version, "int8") == ("int8", "y", "1")
    assert model_forms.sealed(session, version, "student") == ("whole", "x", "0")


def test_a_form_is_due_when_a_quarter_more_traffic_has_come(session: Session, version: ModelVersion) -> None:
    snapshot = Snapshot(uri="s", sha256="0", counts={})
    session.add(snapshot)
    session.flush()
    session.add(TrainingRun(reason="test", state="done", model_version_id=version.id, snapshot_id=snapshot.id))
    session.flush()

    add_traffic(session, 299)
    session.add(Document(source="a file", external_id="1", content_hash=b"x", text="an import", lane="bulk"))
    session.flush()
    assert model_forms.due(session, students=False) is None
    add_traffic(session, 1)
    assert model_forms.due(session, students=False) == version.id

    model_forms.judged(session, version.id, "int8", "unproved", {}, 300)
    add_traffic(session, 74)
    assert model_forms.due(session, students=False) is None
    add_traffic(session, 1)
    assert model_forms.due(session, students=False) == version.id

    model_forms.judged(session, version.id, "int8", "proved", {}, 375)
    assert model_forms.due(session, students=False) is None


def test_traffic_is_what_came_since_in_the_order_it_came(session: Session, version: ModelVersion) -> None:
    add_traffic(session, 3)

    found = model_forms.traffic(session, datetime(2020, 1, 1, tzinfo=UTC), 2)

    assert [text for _, text in found] == ["text 0", "text 1"]
    assert model_forms.traffic(session, datetime(2099, 1, 1, tzinfo=UTC), 2) == []


def add_traffic(session: Session, count: int) -> None:
    """Documents that came by the queue."""
    first = len(session.scalars(select(Document.id)).all())
    for i in range(first, first + count):
        session.add(
            Document(source="mail", external_id=str(i), content_hash=str(i).encode(), text=f"text {i}", lane="live",
                     entry_id=f"{i + 1}-0")
        )  # fmt: skip
    session.flush()
