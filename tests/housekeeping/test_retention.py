"""Retention by age and label: what goes, and what never does."""

import pytest
from filled_queue import add_document, add_labels
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import retention
from housekeeping.retention import retain
from sortline.errors import NotFoundError
from sortline.settings import Settings


def left(session: Session) -> set[str]:
    session.rollback()
    return set(session.execute(text("SELECT external_id FROM documents")).scalars())


@pytest.fixture
def filled(session: Session) -> dict[str, int]:
    """Documents 40 days old, by name; `young` is of today."""
    add_labels(session)
    made = {name: add_document(session, name, reason, name=name) for name, reason in
            (("plain", None), ("waits", "doubtful"), ("judges", None), ("trains", None), ("young", None))}  # fmt: skip
    made["other"] = add_document(session, "other", None, (0.1, 0.8, 0.1), name="other")
    session.execute(text("UPDATE documents SET received_at = now() - interval '40 days' WHERE external_id <> 'young'"))
    for name, split in (("judges", "test"), ("trains", "train")):
        session.execute(text("INSERT INTO document_splits (document_id, group_id, split) VALUES (:id, :id, :split)"),
                        {"id": made[name], "split": split})  # fmt: skip
    session.execute(text(
        "INSERT INTO dead_letters (lane, entry_id, reason, detail, raw, attempts, created_at) "
        "SELECT 'live', age || '-0', 'r', 'd', '', 1, now() - make_interval(days => age) FROM (VALUES (1), (40)) a (age)"
    ))  # fmt: skip
    session.commit()
    return made


def test_off_by_default(session: Session, settings: Settings, filled: dict[str, int]) -> None:
    assert retain(settings) == (0, 0, 0)
    assert left(session) == set(filled)


def test_what_is_old_goes_but_not_what_waits_or_judges(
    session: Session, settings: Settings, filled: dict[str, int]
) -> None:
    gone = retain(settings.model_copy(update={"retention_days": 30}))

    assert (gone.documents, gone.dead_letters) == (3, 1)
    assert left(session) == {"waits", "judges", "young"}
    counts = session.execute(text("SELECT label_id, split, documents FROM erased_counts ORDER BY 1, 2")).tuples().all()
    assert counts == [(1, "train", 1), (1, None, 1), (2, None, 1)]
    assert session.execute(text("SELECT detail FROM audit_events WHERE action = 'retention'")).scalar_one() == {
        "documents": 3, "dead_letters": 1,
    }  # fmt: skip
    assert retain(settings.model_copy(update={"retention_days": 30})).documents == 0


def test_what_judges_goes_when_told_so(session: Session, settings: Settings, filled: dict[str, int]) -> None:
    retain(settings.model_copy(update={"retention_days": 30, "retention_held_out": True}))

    assert left(session) == {"waits", "young"}


def test_a_label_has_its_own_time(session: Session, settings: Settings, filled: dict[str, int]) -> None:
    retention.set_days(session, "cash withdrawal", 0)
    session.commit()
    retain(settings.model_copy(update={"retention_days": 30}))
    assert left(session) == {"waits", "judges", "young", "other"}

    retention.set_days(session, "cash\u00a0withdrawal ", 39)
    session.commit()
    assert retain(settings).documents == 1
    assert left(session) == {"waits", "judges", "young"}


def test_an_unknown_label_is_refused(session: Session) -> None:
    with pytest.raises(NotFoundError, match="no label 'nothing'"):
        retention.set_days(session, "nothing", 1)


def test_a_run_goes_on_where_the_one_before_ended(session: Session, settings: Settings, filled: dict[str, int]) -> None:
    old = settings.model_copy(update={"retention_days": 30})
    assert retain(old, most_s=0.0) == (0, 1, 0)
    assert retain(old, after=filled["plain"]).documents == 2
    assert "plain" in left(session)


def test_waiting_for_a_model_keeps_nothing_for_ever(
    session: Session, settings: Settings, filled: dict[str, int]
) -> None:
    session.execute(text("UPDATE queue_items SET reason = 'unpredicted'"))
    session.execute(text("DELETE FROM predictions WHERE document_id = :id"), {"id": filled["waits"]})
    session.execute(text("INSERT INTO unpredicted (document_id) VALUES (:id)"), {"id": filled["waits"]})
    session.commit()

    retain(settings.model_copy(update={"retention_days": 30}))

    assert left(session) == {"judges", "young"}
    assert session.execute(text("SELECT count(*) FROM unpredicted")).scalar_one() == 0
