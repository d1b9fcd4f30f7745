"""After the choice of another target or form, what waits and reaches the thresholds is accepted without a person."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from tiny_bert import LABELS, build_tiny_checkpoint

from classifier.checkpoint import Calibration
from classifier.figures import Guarantee, Offer, VersionFigures
from db.models import Label, Prediction, QueueItem, Redecision
from db.queries import model_forms, model_versions, redecisions, risk_targets
from housekeeping.outbox import sweep
from sortline.settings import Settings
from worker.celery import app as worker_app

WAIT = {"doubtful", "audit", "flag"}


@pytest.fixture
def worker_settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"engine": "torch", "device": "cpu", "watch_interval_s": 0.2})


def offers(**thresholds: float) -> VersionFigures:
    made = [
        Offer(threshold=each, guarantee=Guarantee(risk_target=float(name.removeprefix("p")) / 1000, proved=each <= 1))
        for name, each in thresholds.items()
    ]
    return VersionFigures(offers=made, guarantee=made[0].guarantee)


@pytest.fixture
def version(session: Session, tmp_path: Path) -> int:
    """The active version: the whole model accepts nothing at 1 %, and all at 5 %; its student accepts all."""
    session.add_all([Label(id=11 + i, name=name) for i, name in enumerate(LABELS)])
    whole, other = (
        build_tiny_checkpoint(tmp_path / name, seed=seed, calibrations={"default": Calibration(threshold=threshold)})
        for name, seed, threshold in (("whole", 0, 2.0), ("student", 1, 0.01))
    )
    figures = offers(p10=2.0, p50=0.01).stored()
    made = model_versions.create(
        session, checkpoint_uri=str(whole.folder), sha256=whole.sha256, base_model="tiny", label_ids=[11, 12, 13],
        metrics=figures,
    )  # fmt: skip
    model_forms.add(session, made.id, "whole", "proved", uri=str(whole.folder), sha256=whole.sha256)
    model_forms.add(
        session, made.id, "student", "proved", uri=str(other.folder), sha256=other.sha256,
        figures=offers(p10=0.01, p50=0.01).stored(),
    )  # fmt: skip
    model_versions.activate(session, made.id, "tests")
    session.commit()
    return made.id


def items(session: Session) -> dict[int, QueueItem]:
    session.expire_all()
    return {item.document_id: item for item in session.scalars(select(QueueItem))}


def ask_worker(session: Session, settings: Settings, version_id: int, eventually: Callable[..., None]) -> None:
    """Send what housekeeping sends, until it is done."""

    def is_done() -> bool:
        session.rollback()
        if redecisions.due(session, 0.2) is not None:
            with worker_app.connection_for_write(settings.celery_broker.celery["broker_url"]) as broker:
                worker_app.send_task("worker.rescore", [version_id], queue="worker", connection=broker)
        return not session.scalars(select(Redecision)).all()

    eventually(is_done, 60)


@pytest.fixture
def waiting(line, start_worker, version: int, eventually: Callable[..., None], session: Session) -> dict[str, int]:
    """Ids of four documents that wait: doubtful, drawn for an audit, flagged, and open at somebody's desk."""
    start_worker()
    line.send({"doubtful": "where is my card", "audit": "the machine", "flag": "is my transfer", "held": "my card"})
    eventually(lambda: line.predicted() == 4, 60)
    ids = {name: int(id_) for name, id_ in line.rows("SELECT external_id, CAST(id AS text) FROM documents").items()}
    for name in ("audit", "flag"):
        session.get_one(QueueItem, ids[name]).reason = name
    session.execute(
        text("UPDATE queue_items SET lease_until = now() + interval '1 hour' WHERE document_id = :id"),
        {"id": ids["held"]},
    )
    session.commit()
    return ids


def test_what_reaches_a_looser_target_leaves_the_queue_without_another_pass(
    line, waiting: dict[str, int], version: int, eventually: Callable[..., None], session: Session, settings: Settings
) -> None:
    risk_targets.choose(session, 0.05, "ann")
    session.commit()
    ask_worker(session, settings, version, eventually)

    assert items(session).keys() == {waiting[name] for name in ("audit", "flag", "held")}
    made = {each.kind: each for each in session.scalars(select(Prediction).filter_by(document_id=waiting["doubtful"]))}
    assert (made["live"].decision, made["rescore"].decision) == ("review", "accept")
    assert made["rescore"].probabilities == made["live"].probabilities
    assert (made["rescore"].label_id, made["rescore"].form) == (made["live"].label_id, "whole")
    assert sweep(settings) == 1
    [event] = [each for each in line.events() if each["event"] == "rescored"]
    assert (event["id"], event["decision"], event["label"]) == (
        "doubtful",
        "accept",
        LABELS[made["live"].label_id - 11],
    )

    risk_targets.choose(session, 0.01, "ann")  # stricter: what was accepted stays accepted
    session.commit()
    ask_worker(session, settings, version, eventually)
    assert waiting["doubtful"] not in items(session)
    assert sweep(settings) == 0


def test_what_another_form_answered_is_scored_by_the_form_that_serves(
    line, waiting: dict[str, int], version: int, eventually: Callable[..., None], session: Session, settings: Settings
) -> None:
    model_forms.serve(session, version, "student", "ann")
    session.commit()
    ask_worker(session, settings, version, eventually)

    assert items(session).keys() == {waiting[name] for name in ("audit", "flag", "held")}
    [again] = session.scalars(select(Prediction).filter_by(kind="rescore"))
    assert (again.document_id, again.form, again.decision) == (waiting["doubtful"], "student", "accept")
    sweep(settings)
    assert [each["id"] for each in line.events() if each["event"] == "rescored"] == ["doubtful"]


def test_what_a_revised_head_answered_is_scored_by_the_checkpoint_before_it_is_accepted(
    line, waiting: dict[str, int], version: int, eventually: Callable[..., None], session: Session, settings: Settings
) -> None:
    told = session.execute(select(Prediction.label_id).filter_by(document_id=waiting["doubtful"])).scalar_one()
    session.add(
        Prediction(
            document_id=waiting["doubtful"], model_version_id=version, kind="rescore", label_id=23 - told,
            confidence=0.99, probabilities=[0.99, 0.005, 0.005], decision="review", form="whole", revision=1,
        )
    )  # fmt: skip
    session.commit()
    risk_targets.choose(session, 0.05, "ann")
    session.commit()
    ask_worker(session, settings, version, eventually)

    assert waiting["doubtful"] not in items(session)
    again = session.scalars(select(Prediction).filter_by(document_id=waiting["doubtful"], kind="rescore")).one()
    assert (again.decision, again.label_id, again.revision) == ("accept", told, None)


def test_a_choice_asks_once_it_is_committed_and_waits_until_workers_follow(session: Session, version: int) -> None:
    risk_targets.choose(session, 0.05, "ann")
    session.rollback()
    assert redecisions.due(session, 0) is None
    risk_targets.choose(session, 0.05, "ann")
    session.commit()
    assert redecisions.due(session, 60) is None
    due = redecisions.due(session, 0)
    assert due is not None
    assert due.version_id == version
    redecisions.done(session, due.id)
    assert redecisions.due(session, 0) is None
