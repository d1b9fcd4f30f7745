"""After a promotion what waits for a person is scored again, and upstream hears of labels that changed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from tiny_bert import build_tiny_checkpoint
from tiny_versions import TEXTS, add_version, promote

from db.models import OutboxEvent, QueueItem
from db.queries import model_versions, rescore, waiting_counts
from db.queries.counts import Count
from db.queries.document_state import document_state
from housekeeping.outbox import sweep
from sortline.settings import Settings
from worker.celery import app as worker_app


@pytest.fixture
def worker_settings(settings: Settings) -> Settings:
    """Real tiny encoders on torch: each needs no conversion."""
    return settings.model_copy(update={"engine": "torch", "device": "cpu", "watch_interval_s": 0.2})


def items(session: Session) -> dict[int, QueueItem]:
    session.expire_all()
    return {item.document_id: item for item in session.scalars(select(QueueItem))}


def test_what_waits_follows_the_new_model_and_upstream_hears_of_it(
    line, start_worker, eventually: Callable[..., None], session: Session, settings: Settings, tmp_path: Path
) -> None:
    old, new = (add_version(session, tmp_path, seed) for seed in (0, 1))
    promote(session, old)
    start_worker()
    line.send(TEXTS)
    eventually(lambda: line.predicted() == len(TEXTS), 60)
    before = {id_: item.score for id_, item in items(session).items()}
    assert len(before) == len(TEXTS)  # a threshold of 2 accepts nothing
    assert waiting_counts.by_reason(session) == {"doubtful": Count(len(TEXTS))}
    assert rescore.stale(session) is None

    promote(session, new)
    assert rescore.stale(session) == new
    with worker_app.connection_for_write(settings.celery_broker.celery["broker_url"]) as broker:
        worker_app.send_task("worker.rescore", [new], queue="worker", connection=broker)
    eventually(lambda: session.rollback() or rescore.stale(session) is None, 60)

    after = items(session)
    assert after.keys() == before.keys()
    assert any(after[id_].score != before[id_] for id_ in before)
    assert {item.model_version_id for item in after.values()} == {new}
    assert line.count("SELECT count(*) FROM predictions WHERE kind = 'rescore'") == len(TEXTS)
    changed = line.count("""
        SELECT count(*) FROM predictions a JOIN predictions b USING (document_id)
        WHERE a.kind = 'live' AND b.kind = 'rescore' AND a.label_id <> b.label_id""")
    assert changed > 0
    assert len(session.scalars(select(OutboxEvent)).all()) == changed

    assert sweep(settings) == changed
    events = [event for event in line.events() if event["event"] == "rescored"]
    assert len(events) == changed
    for event in events:
        state = document_state(session, event["source"], event["id"])
        assert state is not None
        assert (state.label, str(state.model_version)) == (event["label"], event["model_version"])
    assert sweep(settings) == 0


def test_only_what_is_to_be_reviewed_waits_and_accepted_documents_leave(
    line, start_worker, eventually: Callable[..., None], session: Session, settings: Settings, tmp_path: Path
) -> None:
    strict = add_version(session, tmp_path, 0)
    stored = build_tiny_checkpoint(tmp_path / "lax", seed=0, calibrations={"default": {"threshold": 0.01}})
    lax = model_versions.create(
        session, checkpoint_uri=str(stored.folder), sha256=stored.sha256, base_model="tiny", label_ids=[11, 12, 13]
    ).id
    promote(session, strict)
    start_worker()
    line.send({"a": "where is my card", "b": "the cash machine"})
    eventually(lambda: line.predicted() == 2, 60)
    held, left = sorted(items(session))
    session.get_one(QueueItem, held).reason = "audit"
    session.commit()

    promote(session, lax)
    with worker_app.connection_for_write(settings.celery_broker.celery["broker_url"]) as broker:
        worker_app.send_task("worker.rescore", [lax], queue="worker", connection=broker)
    eventually(lambda: left not in items(session), 60)

    assert items(session).keys() == {held}  # an audit waits whatever a model says
    assert items(session)[held].model_version_id == lax
    sweep(settings)
    rescored = [event for event in line.events() if event["event"] == "rescored"]
    assert [event["decision"] for event in rescored] == ["accept"], "upstream hears of it though the label is the same"
    line.send({"c": "where is the card"})
    eventually(lambda: line.count("SELECT count(*) FROM predictions WHERE kind = 'live'") == 3)
    assert items(session).keys() == {held}
