"""A version answers beside the active one: on a share, after the line, and nobody is sent what it says."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from tiny_versions import TEXTS, add_version, promote

from db.models import QueueItem
from db.queries import decisions, model_versions, people, queue_items, shadows, waiting_counts
from db.queries.counts import Count
from db.queries.decisions import Decision, Shares
from sortline.errors import ConflictError, InvalidInputError, NotFoundError
from sortline.settings import Settings
from worker.celery import app as worker_app


@pytest.fixture
def worker_settings(settings: Settings) -> Settings:
    """Real tiny encoders on torch: each needs no conversion."""
    return settings.model_copy(update={"engine": "torch", "device": "cpu", "watch_interval_s": 0.2})


@pytest.fixture(autouse=True)
def settled_at_once(session: Session) -> None:
    """No waiting for neighbours that are not committed: nothing else commits here."""
    session.execute(text("ALTER TABLE documents ALTER COLUMN received_at SET DEFAULT now() - interval '1 min'"))
    session.commit()


def go_on(settings: Settings, shadow_id: int) -> None:
    with worker_app.connection_for_write(settings.celery_broker.celery["broker_url"]) as broker:
        worker_app.send_task("worker.shadow", [shadow_id], queue="worker", connection=broker)


def test_a_shadow_answers_a_share_and_only_people_hear_of_it(
    line, start_worker, eventually: Callable[..., None], session: Session, settings: Settings, tmp_path: Path
) -> None:
    active, other = (add_version(session, tmp_path, seed) for seed in (0, 1))
    promote(session, active)
    worker = start_worker()
    line.send({"before": "where is my card"})
    eventually(lambda: line.predicted() == 1, 60)
    shadow = shadows.start(session, other, 0.5, "user:ann")
    session.commit()
    line.send(TEXTS)
    eventually(lambda: line.predicted() == len(TEXTS) + 1, 60)
    session.execute(text("DELETE FROM queue_items"))  # as if all had been accepted
    session.commit()
    eventually(lambda: len(line.events()) == len(TEXTS) + 1)

    go_on(settings, shadow.id)
    eventually(lambda: session.rollback() or shadows.evidence(session, other).documents > 0, 60)
    worker.kill()
    start_worker()
    session.execute(text("UPDATE shadows SET held_until = now()"))  # as a minute later
    session.commit()
    go_on(settings, shadow.id)
    eventually(lambda: session.rollback() or shadows.running(session).looked_to >= len(TEXTS) + 1, 60)

    found = shadows.evidence(session, other)
    assert 0.3 * len(TEXTS) < found.documents < 0.7 * len(TEXTS)
    differ = found.documents - found.alike
    assert differ > 0
    assert line.count("SELECT count(*) FROM predictions WHERE kind <> 'shadow'") == len(TEXTS) + 1
    assert len(line.events()) == len(TEXTS) + 1
    assert waiting_counts.by_reason(session) == {"shadow": Count(differ)}
    assert sum(pair.documents for pair in shadows.pairs(session, other, 20)) == differ

    # At the desk neither answer is shown; a decision says who was right.
    ann = people.add(session, "ann", "reviewer", "tests").id
    document = session.query(QueueItem.document_id).order_by(QueueItem.document_id).first()[0]
    queue_items.lease(session, [document], ann, 60, hidden_share=0.0)
    item = queue_items.leased(session, ann, [document])[0]
    assert item.shown is None
    decisions.decide(session, Decision(document, item.lease_token, "label", item.label_id), ann, Shares())
    session.commit()
    found = shadows.evidence(session, other)
    assert (found.line, found.shadow, found.neither, found.p) == (1, 0, 0, 1.0)
    (example,) = shadows.examples(session, other, 10, 100)
    assert example.truth == example.label != example.shadow_label

    promote(session, other)
    assert shadows.running(session) is None
    assert shadows.of_version(session, other).ended_because == "it is active now"


def test_a_version_that_can_not_be_loaded_says_so(
    line, start_worker, eventually: Callable[..., None], session: Session, settings: Settings, tmp_path: Path
) -> None:
    active, other = (add_version(session, tmp_path, seed) for seed in (0, 1))
    (tmp_path / "checkpoint-1" / "sortline.json").unlink()
    promote(session, active)
    start_worker()
    line.send({"a": "where is my card"})
    eventually(lambda: line.predicted() == 1, 60)
    shadow = shadows.start(session, other, 1, "user:ann")
    session.commit()

    go_on(settings, shadow.id)

    eventually(lambda: session.rollback() or shadows.running(session).trouble, 60)
    assert "can't be loaded" in shadows.running(session).trouble
    line.send({"b": "the cash machine"})
    eventually(lambda: line.predicted() == 2)


def test_what_can_not_be_a_shadow(session: Session, tmp_path: Path) -> None:
    first, second, third = (add_version(session, tmp_path, seed) for seed in (0, 1, 2))
    with pytest.raises(ConflictError, match="no model version is active"):
        shadows.start(session, second, 0.1, "me")
    promote(session, first)
    for version, share, error in (
        (first, 0.1, ConflictError),
        (second, 0, InvalidInputError),
        (99, 0.1, NotFoundError),
    ):
        with pytest.raises(error):
            shadows.start(session, version, share, "me")
    shadows.start(session, second, 0.1, "me")
    with pytest.raises(ConflictError, match=f"model version {second} is a shadow already"):
        shadows.start(session, third, 0.1, "me")
    assert shadows.stop(session, "me", "enough") == second
    assert shadows.stop(session, "me", "enough") is None
    assert model_versions.get(session, second).status == "candidate"


@pytest.mark.parametrize(("shadow", "line", "p"), [(0, 0, None), (5, 0, 0.0625), (8, 2, 0.109375), (3, 3, 1.0)])
def test_p_values_by_hand(shadow: int, line: int, p: float | None) -> None:
    assert shadows.Evidence(20, 10, 5, 5, shadow, line, 1).p == p
