"""Looks for drift on stored documents: one incident, its evidence at the desk, and how it ends."""

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from audited_traffic import add_answers
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import (
    AuditEvent,
    Document,
    DriftReference,
    Incident,
    Label,
    ModelVersion,
    Prediction,
    QueueItem,
    Review,
    TrainingRun,
    User,
)
from db.queries import drift, drift_checks, incidents, model_versions
from monitoring import drift_process
from monitoring.live_accuracy import today
from sortline.errors import SortlineError
from sortline.settings import Settings
from tests import loaded
from tests.conftest import ROOT, environment
from tests.due_training import due

_OLD = ["where", "is", "my", "card", "the", "cash", "machine", "ate", "it", "transfer", "has", "not", "arrived"]
_NEW = ["zebra", "yacht", "quartz", "vulcan", "jigsaw"]
_HELD_OUT = 600


def add_documents(
    session: Session, count: int, tag: str, version: ModelVersion | None = None, new: float = 0.0,
    age: timedelta = timedelta(), words: int = 8,
) -> list[int]:  # fmt: skip
    """Documents, newest last, of which a share is on a new topic; classified if there is a version."""
    draw = random.Random(tag)
    found = [draw.random() < new for _ in range(count)]
    texts = [
        " ".join(draw.choices(_NEW if is_new else _OLD, k=draw.randint(4, words))) + f" {'?!.'[i % 3]}"
        for i, is_new in enumerate(found)
    ]
    rows = [
        Document(
            source="s", external_id=f"{tag}-{i}", content_hash=hashlib.sha256(f"{tag}-{i}".encode()).digest(),
            text=each, lane="live", received_at=datetime.now(UTC) - age,
        )
        for i, each in enumerate(texts)
    ]  # fmt: skip
    session.add_all(rows)
    session.flush()
    if version is not None:
        session.add_all(
            Prediction(
                document_id=row.id, model_version_id=version.id, kind="live", label_id=1 + i % 2, confidence=sure,
                probabilities=[sure, 1 - sure], decision="accept",
            )
            for i, row in enumerate(rows)
            for sure in [draw.uniform(0.6, 1.0)]
        )  # fmt: skip
    session.commit()
    return [row.id for row in rows]


@pytest.fixture
def version(session: Session, settings: Settings) -> ModelVersion:
    """A live version that remembers what it was trained on."""
    session.add_all([Label(id=1, name="card"), Label(id=2, name="cash"), User(id=50, name="ann", role="reviewer")])
    session.flush()
    made = model_versions.create(
        session, checkpoint_uri="x", sha256="0", base_model=settings.base_model, label_ids=[1, 2],
        metrics={"test": {"accuracy": 0.9}},
    )  # fmt: skip
    model_versions.activate(session, made.id, "me")
    training = add_documents(session, 300, "training", age=timedelta(days=60))
    held_out = add_documents(session, _HELD_OUT, "held out", age=timedelta(days=60))
    draw = random.Random(1)
    confidences = [draw.uniform(0.6, 1.0) for _ in held_out]
    drift.freeze(session, made.id, "whole", training, held_out, [1 + i % 2 for i in range(_HELD_OUT)], confidences)
    session.commit()
    return made


def look(settings: Settings, session: Session) -> Incident | None:
    found = drift_process.check_drift(settings).incident_id
    session.expire_all()
    return None if found is None else session.get_one(Incident, found)


def test_housekeeping_finds_a_new_topic_without_waiting_for_it(
    session: Session, settings: Settings, version: ModelVersion, eventually: Callable[..., None]
) -> None:
    add_documents(session, 500, "stable", version)
    add_documents(session, 500, "shifted", version, new=0.4)

    code = (
        "from housekeeping import tasks\ntasks.check_drift()\ntasks.check_drift()\nassert len(tasks._drift_checks) == 1"
    )
    loaded.run(["-c", code], ROOT, environment(settings), timeout=60).check_returncode()

    eventually(lambda: session.rollback() or session.query(Incident).count(), timeout=240)
    incident = session.query(Incident).one()
    streams = {(each["stream"], each["reference"]) for each in incident.evidence["moved"]}
    assert ("unknown_words", "training") in streams
    assert incident.kind == "drift"
    assert incident.model_version_id == version.id
    assert incident.statistic > settings.drift_margin


def test_its_evidence_waits_at_the_desk_and_it_is_opened_once(
    session: Session, settings: Settings, version: ModelVersion
) -> None:
    shifted = add_documents(session, 600, "shifted", version, new=0.4)

    incident = look(settings, session)
    assert incident is not None
    assert look(settings, session) is None

    assert session.query(Incident).count() == 1
    waiting = session.query(QueueItem).all()
    assert len(waiting) == 50
    assert {item.reason for item in waiting} == {"drift"}
    assert {item.document_id for item in waiting} == set(incident.evidence["document_ids"]) <= set(shifted)
    on_topic = [session.get_one(Document, item.document_id).text.split()[0] in _NEW for item in waiting]
    assert sum(on_topic) >= 45
    assert all(item.note == f"Evidence of incident {incident.id}." for item in waiting)


def test_what_waited_as_doubtful_is_evidence_now_and_an_audit_stays_one(
    session: Session, settings: Settings, version: ModelVersion
) -> None:
    shifted = add_documents(session, 600, "shifted", version, new=0.05)
    shifted += add_documents(session, 45, "new", version, new=1.0)
    reasons = {id_: "audit" if id_ % 3 else "doubtful" for id_ in shifted}
    session.add_all(QueueItem(document_id=id_, reason=reason, score=0.9) for id_, reason in reasons.items())
    session.commit()

    incident = look(settings, session)

    assert incident is not None
    waiting = {item.document_id: item.reason for item in session.query(QueueItem)}
    for id_ in incident.evidence["document_ids"]:
        assert waiting[id_] == {"audit": "audit", "doubtful": "drift"}[reasons[id_]]


def test_stable_traffic_opens_none(session: Session, settings: Settings, version: ModelVersion) -> None:
    add_documents(session, 700, "weeks", version, age=timedelta(days=5))
    add_documents(session, 1000, "stable", version)

    assert look(settings, session) is None
    assert session.query(Incident).count() == session.query(QueueItem).count() == 0
    (last,) = drift_checks.last(session)
    assert not last.failed
    assert last.said == (
        "1,000 documents were compared with the training snapshot and the weeks before: nothing has changed."
    )


def test_a_look_that_fails_or_dies_is_told_of(session: Session, settings: Settings, version: ModelVersion) -> None:
    add_documents(session, 600, "stable", version)
    session.query(ModelVersion).update({"base_model": "/nowhere", "checkpoint_uri": "/nowhere/either"})
    session.commit()
    with pytest.raises(SortlineError, match="nowhere"):
        look(settings, session)
    (last,) = drift_checks.last(session)
    assert last.failed and "nowhere" in last.said

    drift_checks.end(session, drift_checks.begin(session), "All is well.")
    drift_checks.begin(session)
    session.commit()
    (last,) = drift_checks.last(session)
    assert last.said == "All is well."  # the newest one may be under way
    session.execute(text("UPDATE drift_looks SET began_at = now() - interval '40 minutes' WHERE ended_at IS NULL"))
    (last,) = drift_checks.last(session)
    assert last.failed and "died" in last.said


def test_without_a_frozen_reference_the_weeks_before_are_compared_with(
    session: Session, settings: Settings, version: ModelVersion
) -> None:
    session.query(DriftReference).delete()
    add_documents(session, 1400, "weeks", version, age=timedelta(days=5))
    add_documents(session, 1000, "shifted", version, new=0.5)

    incident = look(settings, session)

    assert incident is not None
    assert {each["reference"] for each in incident.evidence["moved"]} == {"weeks"}


def test_there_is_no_look_without_a_version_or_new_documents(
    session: Session, settings: Settings, version: ModelVersion
) -> None:
    add_documents(session, 600, "shifted", version, new=0.9, age=timedelta(hours=2))
    assert look(settings, session) is None  # they were there at the look before
    session.query(ModelVersion).update({"status": "retired"})
    add_documents(session, 600, "more", version, new=0.9)

    assert look(settings, session) is None


def test_what_a_person_closed_counts_as_normal_and_a_new_shift_does_not(
    session: Session, settings: Settings, version: ModelVersion
) -> None:
    add_documents(session, 1500, "shifted", version, new=0.3)
    first = look(settings, session)
    assert first is not None
    incidents.close(session, first.id, "user:ann", "a campaign of ours")
    session.execute(text("UPDATE incidents SET closed_at = now() - interval '6 days'"))
    session.execute(
        text("UPDATE documents SET received_at = now() - interval '5 days' WHERE external_id LIKE 'shift%'")
    )
    session.commit()
    add_documents(session, 1000, "as before", version, new=0.3)
    assert look(settings, session) is None

    add_documents(session, 1000, "longer", version, new=0.3, words=60)

    second = look(settings, session)
    assert second is not None
    assert {each["stream"] for each in second.evidence["moved"]} == {"length"}


def open_days_ago(session: Session, version: ModelVersion, days: int) -> Incident:
    found = incidents.begin(session, incidents.DRIFT, version.id, 0.1, {})
    assert found is not None
    incident = session.get_one(Incident, found)
    incident.opened_at = today() - timedelta(days=days - 0.5)
    session.commit()
    return incident


def test_measured_accuracy_closes_it(session: Session, settings: Settings, version: ModelVersion) -> None:
    incident = open_days_ago(session, version, 3)
    add_answers(session, 245, 1, probability=0.01, truth_id=1, version_id=version.id)
    add_answers(session, 5, 1, probability=0.01, truth_id=2, version_id=version.id)

    outcome = drift_process.check_drift(settings)

    session.refresh(incident)
    assert outcome == (f"Incident {incident.id} was closed.", None)
    assert incident.closed_at is not None and incident.closed_by == "beat"
    assert str(incident.closed_because).startswith("98.0 % of the answers since are right (at least 9")
    assert "by 250 audits; 85.0 % is enough" in str(incident.closed_because)
    event = session.query(AuditEvent).filter_by(action="incident closed").one()
    assert event.subject == f"incident:{incident.id}"


@pytest.mark.parametrize(
    ("right", "wrong", "days", "said"),
    [
        (200, 50, 1.5, "80.0 % of the answers since are right"),  # worse than what is enough
        (225, 25, 1.5, "90.0 % of the answers since are right"),  # beyond doubt for a single look, not for one a day
        (99, 0, 1.5, "by 99 audits"),
        (250, 0, 2.5, "No audit of the following days is decided yet"),  # answers of the day on which it began
    ],
)
def test_bad_accuracy_or_too_few_audits_do_not(
    session: Session, settings: Settings, version: ModelVersion, right: int, wrong: int, days: float, said: str
) -> None:
    incident = open_days_ago(session, version, 3)
    add_answers(session, right, 1, probability=0.01, truth_id=1, version_id=version.id, days=days)
    if wrong:
        add_answers(session, wrong, 1, probability=0.01, truth_id=2, version_id=version.id, days=days)

    outcome = drift_process.check_drift(settings)

    session.refresh(incident)
    assert incident.closed_at is None
    assert said in outcome.said


def test_a_training_starts_once_when_the_evidence_is_decided_if_settings_say_so(
    session: Session, settings: Settings, version: ModelVersion
) -> None:
    trains = settings.model_copy(update={"drift_trains": True})
    add_documents(session, 600, "shifted", version, new=0.4)
    incident = look(settings, session)
    assert incident is not None
    decided, *others = incident.evidence["document_ids"]
    session.add(Review(document_id=decided, reviewer_id=50, action="confirm", label_id=1, reason="drift"))
    session.query(QueueItem).filter_by(document_id=decided).delete()
    session.commit()
    assert due(session, trains) is None

    session.query(QueueItem).filter(QueueItem.document_id.in_(others)).delete()
    session.commit()

    reason = due(session, trains)
    assert reason == f"drift, incident {incident.id}: its evidence is decided"
    assert due(session, settings) is None
    session.add(TrainingRun(reason=reason, state="failed"))
    session.commit()
    assert due(session, trains) is None
    assert list(incidents.trainings(session)) == [incident.id]


def test_the_first_document_since_a_time_is_found_by_bisection(session: Session) -> None:
    old = add_documents(session, 40, "old", age=timedelta(days=3))
    session.execute(text("DELETE FROM documents WHERE id = ANY(:ids)"), {"ids": old[10:20]})
    new = add_documents(session, 5, "new")

    assert drift.first_since(session, datetime.now(UTC) - timedelta(days=1)) == new[0]
    assert drift.first_since(session, datetime.now(UTC) - timedelta(days=9)) == 1
    assert drift.first_since(session, datetime.now(UTC) + timedelta(days=9)) == new[-1] + 1


def test_a_training_freezes_what_its_version_says_of_held_out_documents(
    session: Session, import_lines: Callable[..., object], train_now: Callable[..., int]
) -> None:
    lines = [f"{word} {other} {i},{label}" for i in range(10) for other in _OLD[:4]
             for word, label in (("card", "card"), ("cash", "cash"))]  # fmt: skip
    import_lines(["text,label", *lines])

    version_id = train_now(epochs=1)

    row = session.get_one(DriftReference, (version_id, "whole"))
    assert row.training_ids
    assert row.document_ids
    assert not set(row.training_ids) & set(row.document_ids)
    assert len(row.label_ids) == len(row.confidences) == len(row.document_ids)
    assert all(0.5 <= each <= 1 for each in row.confidences)


def test_beat_looks_as_often_as_the_level_counts_on() -> None:
    from housekeeping.celery import app

    assert app.conf.beat_schedule["check_drift"]["schedule"] == drift_process.EVERY_S
