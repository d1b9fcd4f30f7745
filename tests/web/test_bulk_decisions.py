"""Deciding at once: exactly what was looked at, once, with events, and back again."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from filled_queue import NAMES, add_document, add_labels, index_all, unlike
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import AuditEvent, OutboxEvent, Prediction, QueueItem, Review
from db.queries import bulk_decisions, labelled, people
from db.queries.document_search import Filters
from db.session import session as open_session
from sortline.errors import ConflictError, InvalidInputError, NotFoundError
from sortline.settings import Settings


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


@pytest.fixture
def ann(session: Session) -> int:
    user = people.add(session, "ann", "lead", "tests")
    session.commit()
    return user.id


def look(session: Session, user: int, label_id: int | None = None, **asked: object) -> int:
    bulk = bulk_decisions.preview(session, Filters(**asked), label_id, user, {})
    session.commit()
    return bulk.id


def decide(session: Session, bulk_id: int, user: int) -> list[int]:
    made = bulk_decisions.decide(session, bulk_id, user, "user:ann")
    session.commit()
    return [session.get_one(Review, id_).document_id for id_ in made.review_ids or []]


def undo(session: Session, bulk_id: int, user: int) -> None:
    bulk_decisions.undo(session, bulk_id, user, "user:ann")
    session.commit()


def events(session: Session) -> list[tuple[str, str, str]]:
    rows = session.scalars(select(OutboxEvent).order_by(OutboxEvent.id))
    return [(row.event["id"], row.event["label"], row.event["decision"]) for row in rows]


def waiting(session: Session) -> dict[int, str]:
    session.expire_all()
    return {item.document_id: item.reason for item in session.scalars(select(QueueItem))}


def test_what_is_predicted_is_confirmed_and_what_differs_is_corrected(
    session: Session, labels: list[int], ann: int
) -> None:
    first = add_document(session, "card one", probabilities=(0.6, 0.3, 0.1), name="first")
    second = add_document(session, "card two", None, probabilities=(0.3, 0.6, 0.1), name="second")
    add_document(session, "other", name="third")
    index_all(session)

    assert decide(session, look(session, ann, labels[0], words="card"), ann) == [second, first]

    rows = session.scalars(select(Review).order_by(Review.document_id)).all()
    assert [(row.action, row.label_id, row.reason, row.reviewer_id, row.lease_token) for row in rows] == [
        ("confirm", labels[0], "bulk", ann, None), ("correct", labels[0], "bulk", ann, None),
    ]  # fmt: skip
    assert events(session) == [("second", NAMES[0], "correct")]
    assert list(waiting(session)) == [3]
    [audit] = session.scalars(select(AuditEvent).where(AuditEvent.action == "bulk decided"))
    assert (audit.actor, audit.detail["documents"]) == ("user:ann", 2)
    decided = labelled.labelled_documents(session)
    assert [(each.id, each.label, each.may_be_held_out, each.origin) for each in decided] == [
        (first, NAMES[0], False, "review"), (second, NAMES[0], False, "review"),
    ]  # fmt: skip


def test_without_a_label_each_gets_its_own(session: Session, labels: list[int], ann: int) -> None:
    add_document(session, unlike(1), probabilities=(0.6, 0.3, 0.1))
    add_document(session, unlike(2), probabilities=(0.3, 0.6, 0.1))
    decide(session, look(session, ann), ann)
    rows = session.scalars(select(Review).order_by(Review.document_id)).all()
    assert [(row.action, row.label_id) for row in rows] == [("confirm", labels[0]), ("confirm", labels[1])]
    assert events(session) == []


def test_what_others_decided_hold_or_have_to_judge_alone_is_left_out(
    session: Session, labels: list[int], ann: int
) -> None:
    free, held, decided, audit, overlap = (
        add_document(session, unlike(i), reason=reason)
        for i, reason in enumerate(("doubtful", "doubtful", None, "audit", "overlap"))
    )
    session.execute(
        text("UPDATE queue_items SET leased_to = 1, lease_until = now() + interval '1 h' WHERE document_id = :id"),
        {"id": held},
    )
    session.add(Review(document_id=decided, reviewer_id=ann, action="confirm", label_id=labels[0], reason="flag"))
    session.commit()
    bulk = bulk_decisions.get(session, look(session, ann))
    assert bulk.document_ids == [free]
    assert bulk.looked_at["left_out"] == {"held": 1, "decided": 1, "blind": 2}
    assert decide(session, bulk.id, ann) == [free]
    assert waiting(session) == {held: "doubtful", audit: "audit", overlap: "overlap"}


def test_what_changes_after_the_look_is_left_out_and_nothing_new_slips_in(
    session: Session, labels: list[int], ann: int
) -> None:
    ids = [add_document(session, unlike(i)) for i in range(4)]
    bulk = look(session, ann)
    add_document(session, unlike(9))
    session.execute(
        text("UPDATE queue_items SET leased_to = 1, lease_until = now() + interval '1 h' WHERE document_id = :id"),
        {"id": ids[1]},
    )
    session.add(Review(document_id=ids[2], reviewer_id=ann, action="confirm", label_id=labels[0], reason="flag"))
    rescored = {"confidence": 0.8, "probabilities": [0.1, 0.8, 0.1], "decision": "review", "label_id": labels[1]}
    session.add(Prediction(document_id=ids[3], model_version_id=2, kind="rescore", **rescored))
    session.commit()
    assert decide(session, bulk, ann) == [ids[0]]


def test_more_than_the_most_are_decided_in_parts(session: Session, ann: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_decisions, "MOST", 2)
    ids = [add_document(session, unlike(i)) for i in range(3)]
    bulk = bulk_decisions.get(session, look(session, ann))
    assert (bulk.document_ids, bulk.looked_at["for_later"]) == ([ids[2], ids[1]], 1)
    decide(session, bulk.id, ann)
    assert bulk_decisions.get(session, look(session, ann)).document_ids == [ids[0]]


def test_undone_it_is_as_before(session: Session, labels: list[int], ann: int) -> None:
    waits = add_document(session, unlike(1), reason="flag", name="waits")
    add_document(session, unlike(2), None, name="sure")
    bulk = look(session, ann, labels[2])
    decide(session, bulk, ann)
    undo(session, bulk, ann)
    undo(session, bulk, ann)
    rows = session.scalars(select(Review).order_by(Review.id)).all()
    assert [row.action for row in rows] == ["correct", "correct", "undo", "undo"]
    assert {row.supersedes_id for row in rows[2:]} == {row.id for row in rows[:2]}
    assert waiting(session) == {waits: "flag"}
    assert sorted(events(session)[2:]) == [("sure", NAMES[0], "undo"), ("waits", NAMES[0], "undo")]
    assert labelled.labelled_documents(session) == []


def test_an_undo_leaves_alone_what_was_decided_since(session: Session, labels: list[int], ann: int) -> None:
    document = add_document(session, unlike(1))
    bulk = look(session, ann, labels[1])
    decide(session, bulk, ann)
    bob = people.add(session, "bob", "reviewer", "tests")
    session.add(Review(document_id=document, reviewer_id=bob.id, action="correct", label_id=labels[2], reason="flag"))
    session.commit()
    undo(session, bulk, ann)
    assert waiting(session) == {}
    assert len(events(session)) == 1  # what upstream knows is bob's still
    assert [each.label for each in labelled.labelled_documents(session)] == [NAMES[2]]


def test_two_clicks_at_once_decide_once(settings: Settings, session: Session, ann: int) -> None:
    for i in range(5):
        add_document(session, unlike(i))
    bulk = look(session, ann)

    def click(_: int) -> list[int]:
        with open_session(settings.postgres_url) as opened:
            return decide(opened, bulk, ann)

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(click, range(4)))
    assert all(len(each) == 5 for each in made)
    assert session.query(Review).count() == 5


def test_what_can_not_be_done_is_refused(session: Session, labels: list[int], ann: int) -> None:
    add_document(session, unlike(1))
    bulk = look(session, ann, labels[1])
    bob = people.add(session, "bob", "lead", "tests")
    session.commit()
    with pytest.raises(ConflictError, match="another person"):
        decide(session, bulk, bob.id)
    with pytest.raises(ConflictError, match="has not been made"):
        undo(session, bulk, ann)
    session.rollback()
    session.execute(text("UPDATE labels SET archived_at = now() WHERE id = :id"), {"id": labels[1]})
    session.commit()
    with pytest.raises(ConflictError, match=f"{NAMES[1]} was archived"):
        decide(session, bulk, ann)
    session.rollback()
    with pytest.raises(InvalidInputError, match="no such label"):
        look(session, ann, 99)
    with pytest.raises(NotFoundError):
        decide(session, 99, ann)
    assert session.query(Review).count() == 0


def test_what_was_looked_at_and_not_decided_is_forgotten_after_a_day(session: Session, ann: int) -> None:
    old = look(session, ann)
    session.execute(text("UPDATE bulk_decisions SET created_at = now() - interval '25 hours'"))
    look(session, ann)
    session.expire_all()
    with pytest.raises(NotFoundError, match="kept for a day"):
        bulk_decisions.get(session, old)
