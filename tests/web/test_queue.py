"""What comes next: leases, the order, its spread over labels and look-alikes, and who may decide what."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from filled_queue import NAMES, add_document, add_labels, unlike
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import QueueItem, Review
from db.queries import decisions, people, queue_items
from db.queries.decisions import Decision, Shares
from db.session import session as open_session
from sortline.errors import ConflictError, InvalidInputError, NotFoundError
from sortline.settings import Settings
from web.desk.queue_policy import WEIGHTS, next_documents


@pytest.fixture
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


def person(session: Session, name: str, role: str = "reviewer") -> int:
    user = people.add(session, name, role, "tests")
    people.sign_in(session, user, "tests")
    session.commit()
    return user.id


def take(session: Session, settings: Settings, user: int, count: int = 1, have: tuple[int, ...] = ()) -> list[int]:
    found = next_documents(session, user, have, count, lease_s=settings.lease_s, hidden_share=settings.hidden_share)
    session.commit()
    return found


def lease(session: Session, settings: Settings, user: int) -> queue_items.Leased:
    return queue_items.leased(session, user, take(session, settings, user))[0]


def decide(
    session: Session, item: queue_items.Leased, user: int, shares: Shares = Shares(), **more
) -> decisions.Decided:
    given = {"action": "label", "label_id": item.label_id} | more
    done = decisions.decide(session, Decision(item.document_id, item.lease_token, **given), user, shares)
    session.commit()
    return done


def expire(session: Session) -> None:
    session.execute(text("UPDATE queue_items SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL"))
    session.commit()


def test_the_least_sure_comes_first_and_what_is_held_comes_again(session: Session, settings: Settings, labels) -> None:
    sure = add_document(session, unlike(1), probabilities=(0.9, 0.06, 0.04))
    unsure = add_document(session, unlike(2), probabilities=(0.4, 0.35, 0.25))
    ann = person(session, "ann")

    assert take(session, settings, ann, 2) == [unsure, sure]
    assert take(session, settings, ann, 2) == [unsure, sure]  # a page that is loaded again
    assert take(session, settings, ann, 2, have=(unsure, sure)) == []


def test_two_people_never_hold_the_same(session: Session, settings: Settings, labels) -> None:
    for i in range(60):
        add_document(session, unlike(i), probabilities=((0.5, 0.3, 0.2), (0.3, 0.5, 0.2), (0.2, 0.3, 0.5))[i % 3])
    users = [person(session, f"user {i}") for i in range(12)]

    def work(user: int) -> list[int]:
        with open_session(settings.postgres_url) as opened:
            return take(opened, settings, user, 5)

    with ThreadPoolExecutor(12) as pool:
        given = [id_ for found in pool.map(work, users) for id_ in found]
    assert given  # not all 60: those in somebody's hands are left out when another looks
    given = [id_ for user in users for id_ in take(session, settings, user, 5)]
    assert len(given) == 60
    assert len(set(given)) == 60


def test_a_lease_that_ran_out_goes_to_another_and_the_late_one_hears_what_happened(
    session: Session, settings: Settings, labels
) -> None:
    add_document(session, unlike(1))
    ann, bob = person(session, "ann"), person(session, "bob")
    late = lease(session, settings, ann)
    assert take(session, settings, bob) == []
    assert queue_items.renew(session, ann, [late.lease_token], 300) == [late.lease_token]
    expire(session)
    taken = lease(session, settings, bob)
    assert queue_items.renew(session, ann, [late.lease_token], 300) == []

    with pytest.raises(ConflictError, match="bob has it now"):
        decide(session, late, ann)
    session.rollback()
    decide(session, taken, bob, label_id=labels[1])
    with pytest.raises(ConflictError, match=f"bob decided {NAMES[1]}"):
        decide(session, late, ann)
    session.rollback()
    assert len(session.scalars(select(Review)).all()) == 1


def test_a_lease_that_ran_out_and_that_nobody_took_is_good_still(session: Session, settings: Settings, labels) -> None:
    add_document(session, unlike(1))
    ann = person(session, "ann")
    item = lease(session, settings, ann)
    expire(session)
    assert decide(session, item, ann).action == "confirm"
    assert session.scalars(select(QueueItem)).all() == []


def test_the_same_decision_twice_is_one_row(session: Session, settings: Settings, labels) -> None:
    add_document(session, unlike(1))
    ann = person(session, "ann")
    item = lease(session, settings, ann)
    first, second = decide(session, item, ann), decide(session, item, ann)
    assert (first.again, second.again) == (False, True)
    assert first.review_id == second.review_id
    with pytest.raises(ConflictError, match=f"ann decided {NAMES[0]}"):
        decide(session, item, ann, label_id=labels[2])
    session.rollback()
    assert len(session.scalars(select(Review)).all()) == 1


def test_look_alikes_are_spread(session: Session, settings: Settings, labels) -> None:
    for i in range(20):
        text_ = f"My parcel with the number 10{i:02} has not been delivered to my home address since Monday morning"
        add_document(session, text_, probabilities=(0.34, 0.33, 0.33))
    for i in range(6):
        add_document(session, unlike(i), probabilities=(0.8, 0.1, 0.1))
    ann = person(session, "ann")
    order = []
    for _ in range(8):
        item = lease(session, settings, ann)
        order.append(item.text.startswith("My parcel"))
        decide(session, item, ann)
    assert order[0]
    assert sum(order[:7]) == 1  # one of the cluster, then all that is unlike it
    assert order[7]  # the cluster is put off, not lost


def test_doubtful_documents_are_spread_over_labels(session: Session, settings: Settings, labels) -> None:
    for i in range(30):
        add_document(session, unlike(i), probabilities=(0.36, 0.33, 0.31))
    for i in range(30, 60):
        add_document(session, unlike(i), probabilities=((0.1, 0.8, 0.1), (0.1, 0.1, 0.8))[i % 2])
    ann = person(session, "ann")
    given = Counter[int]()
    for _ in range(30):
        item = lease(session, settings, ann)
        given[item.label_id or 0] += 1
        decide(session, item, ann)
    assert given[labels[0]] > 0
    assert given[labels[1]] + given[labels[2]] > 0  # ten are expected, none has a chance of 1 in 190,000


def test_an_audit_hides_the_prediction_and_keeps_its_probability(session: Session, settings: Settings, labels) -> None:
    add_document(session, unlike(1), reason="audit", sampling_probability=0.25)
    ann = person(session, "ann")
    item = lease(session, settings, ann)
    assert item.shown is None
    assert decide(session, item, ann).action == "confirm"
    review = session.scalars(select(Review)).one()
    assert (review.shown_prediction, review.sampling_probability, review.reason) == (None, 0.25, "audit")


def test_a_share_of_predictions_is_hidden_and_the_rest_is_kept_with_the_review(
    session: Session, settings: Settings, labels
) -> None:
    for i in range(2):
        add_document(session, unlike(i))
    ann = person(session, "ann")
    shown = lease(session, settings, ann)
    decide(session, shown, ann, label_id=labels[1])
    hidden = lease(session, settings.model_copy(update={"hidden_share": 1.0}), ann)
    decide(session, hidden, ann)
    rows = session.scalars(select(Review).order_by(Review.id)).all()
    assert [row.action for row in rows] == ["correct", "confirm"]
    assert rows[0].shown_prediction == {"label_id": labels[0], "confidence": 0.5, "model_version_id": 1, "form": None}
    assert rows[1].shown_prediction is None


def test_an_overlap_goes_to_a_second_person_and_a_repeat_to_the_same(
    session: Session, settings: Settings, labels
) -> None:
    for i in range(2):
        add_document(session, unlike(i))
    ann, bob = person(session, "ann"), person(session, "bob")
    first = lease(session, settings, ann)
    decide(session, first, ann, Shares(overlap=1.0))
    second = lease(session, settings, ann)
    assert second.document_id != first.document_id
    decide(session, second, ann, Shares(repeat=1.0))
    assert take(session, settings, ann) == []

    again = lease(session, settings, bob)
    assert (again.document_id, again.reason) == (first.document_id, "overlap")
    decide(session, again, bob, Shares(overlap=1.0, repeat=1.0))
    assert take(session, settings, bob) == []  # a repeat is of the one who decided
    session.execute(text("UPDATE queue_items SET not_before = now()"))
    session.commit()
    assert take(session, settings, bob) == []
    assert take(session, settings, ann) == [second.document_id]


def test_nobody_waits_for_a_second_person_where_there_is_none(session: Session, settings: Settings, labels) -> None:
    add_document(session, unlike(1))
    ann = person(session, "ann")
    decide(session, lease(session, settings, ann), ann, Shares(overlap=1.0))
    assert session.scalars(select(QueueItem)).all() == []


def test_skip_comes_again_after_the_others_and_flag_goes_to_another(
    session: Session, settings: Settings, labels
) -> None:
    for i in range(2):
        add_document(session, unlike(i))
    ann, bob = person(session, "ann"), person(session, "bob")
    skipped = lease(session, settings, ann)
    assert decide(session, skipped, ann, action="skip", label_id=None, note="I am not sure").action == "skip"
    other = lease(session, settings, ann)
    assert other.document_id != skipped.document_id
    decide(session, other, ann, action="flag", label_id=None, note="is this legal?")
    assert take(session, settings, ann) == [skipped.document_id]
    flagged = lease(session, settings, bob)
    assert (flagged.document_id, flagged.reason, flagged.note) == (other.document_id, "flag", "is this legal?")


def test_undo_supersedes_and_brings_the_document_back(session: Session, settings: Settings, labels) -> None:
    add_document(session, unlike(1), reason="audit", sampling_probability=0.5)
    ann, bob = person(session, "ann"), person(session, "bob")
    done = decide(session, lease(session, settings, ann), ann, label_id=labels[2])
    with pytest.raises(NotFoundError):
        decisions.undo(session, done.review_id, bob, 300)
    back = decisions.undo(session, done.review_id, ann, 300)
    session.commit()
    item = queue_items.leased(session, ann, [back or 0])[0]
    assert (item.reason, item.shown) == ("audit", None)
    assert decisions.undo(session, done.review_id, ann, 300) == back  # its answer was lost: it is done once
    decide(session, item, ann, action="none_fits", label_id=None, proposed_label="late\u00a0refund ")
    rows = session.scalars(select(Review).order_by(Review.id)).all()
    assert [(row.action, row.supersedes_id) for row in rows] == [
        ("correct", None), ("undo", rows[0].id), ("none_fits", None),
    ]  # fmt: skip
    assert rows[2].proposed_label == "late refund"
    assert rows[2].sampling_probability == 0.5


def test_only_the_last_ten_can_be_undone(session: Session, settings: Settings, labels) -> None:
    ann = person(session, "ann")
    done = []
    for i in range(11):
        add_document(session, unlike(i))
        done.append(decide(session, lease(session, settings, ann), ann))
    assert [each.review_id for each in decisions.last(session, ann)] == [each.review_id for each in done[:0:-1]]
    with pytest.raises(ConflictError, match="last 10"):
        decisions.undo(session, done[0].review_id, ann, 300)


def test_an_archived_label_is_refused_and_nothing_is_lost(session: Session, settings: Settings, labels) -> None:
    add_document(session, unlike(1))
    ann = person(session, "ann")
    item = lease(session, settings, ann)
    session.execute(text("UPDATE labels SET archived_at = now() WHERE id = :id"), {"id": labels[0]})
    session.commit()
    with pytest.raises(InvalidInputError, match="was archived"):
        decide(session, item, ann)
    session.rollback()
    assert take(session, settings, ann) == [item.document_id]
    assert decide(session, item, ann, label_id=labels[1]).action == "correct"


def test_what_a_person_holds_stays_when_a_new_model_accepts_it(session: Session, settings: Settings, labels) -> None:
    from db.queries import rescore

    for i in range(2):
        add_document(session, unlike(i))
    ann = person(session, "ann")
    item = lease(session, settings, ann)
    rows = [
        {
            "document_id": id_, "label": labels[1], "confidence": 0.99, "probabilities": [0.005, 0.99, 0.005],
            "decision": "accept", "windows": 1, "truncated": False, "margin": 0.98,
        }
        for id_ in session.scalars(select(QueueItem.document_id))
    ]  # fmt: skip
    import json

    rescore.store(session, 2, json.dumps(rows))
    session.commit()
    session.expire_all()
    left = session.scalars(select(QueueItem)).one()
    assert (left.document_id, left.label_id) == (item.document_id, labels[1])
    assert decide(session, item, ann).action == "confirm"  # of what the page showed
    assert session.scalars(select(Review)).one().shown_prediction["label_id"] == labels[0]


def test_reasons_share_the_morning_by_their_weights(session: Session, settings: Settings, labels) -> None:
    for i in range(120):
        add_document(session, unlike(i), reason=("doubtful", "flag", "audit")[i % 3])
    ann = person(session, "ann")
    reasons = []
    for _ in range(66):
        item = lease(session, settings, ann)
        reasons.append(item.reason)
        decide(session, item, ann)
    counted = Counter(reasons[:60])
    expected = {reason: 60 * WEIGHTS[reason] / 11 for reason in ("doubtful", "flag", "audit")}
    for reason, mean in expected.items():
        assert abs(counted[reason] - mean) < 5 * mean**0.5  # five standard deviations and more


def test_a_flood_of_foreign_documents_takes_its_share_and_no_more(session: Session, settings: Settings, labels) -> None:
    """Of doubtful ones and those of low fit, a quarter is of low fit, however many wait."""
    for i in range(80):
        add_document(session, unlike(i), probabilities=((0.5, 0.3, 0.2), (0.3, 0.5, 0.2))[i % 2])
    session.execute(text("""
        INSERT INTO documents (source, external_id, content_hash, text, lane)
        SELECT 'flood', i, sha256(CAST(CAST(i AS text) AS bytea)), 'Buy cheap pills at once, number ' || i, 'bulk'
        FROM generate_series(1, 5000) i"""))  # fmt: skip
    session.execute(text("""
        INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id)
        SELECT id, 'low_fit', 0.01, 1, :label FROM documents WHERE source = 'flood'"""), {"label": labels[0]})  # fmt: skip
    other = add_document(session, unlike(200), "low_fit", (0.2, 0.2, 0.6))
    session.commit()
    ann = person(session, "ann")
    given = []
    for _ in range(60):
        item = lease(session, settings, ann)
        given.append(item)
        decide(session, item, ann, action="none_fits", label_id=None)
    low = [item.document_id for item in given if item.reason == "low_fit"]
    assert 4 <= len(low) <= 28  # 15 are expected; outside with a chance of 1 in 2,000
    assert other in low  # it has another label: with 4 drawn, the flood hides it with a chance of 1 in 16 at most


def test_events_leave_where_upstream_knows_another_label(session: Session, settings: Settings, labels) -> None:
    add_document(session, unlike(1), name="a")
    add_document(session, unlike(2), name="b")
    ann = person(session, "ann")
    for wanted in (labels[0], labels[1]):  # one confirmation, one correction
        done = decide(session, lease(session, settings, ann), ann, label_id=wanted)
    decisions.undo(session, done.review_id, ann, 300)
    session.commit()
    item = lease(session, settings, ann)
    decide(session, item, ann, action="none_fits", label_id=None)
    events = [row.event for row in session.execute(text("SELECT event FROM outbox ORDER BY id"))]
    assert [(e["event"], e["label"], e["decision"]) for e in events] == [
        ("corrected", NAMES[1], "correct"), ("corrected", NAMES[0], "undo"), ("corrected", "", "none_fits"),
    ]  # fmt: skip
    assert {e["source"] for e in events} == {"mail"}


def test_who_is_alone_gets_back_what_they_flagged(session: Session, settings: Settings, labels: list[int]) -> None:
    document = add_document(session, unlike(1))
    ann = person(session, "ann")
    decide(session, lease(session, settings, ann), ann, action="flag", label_id=None, note="what is it?")
    again = lease(session, settings, ann)
    assert (again.document_id, again.reason, again.note) == (document, "flag", "what is it?")

    bob = person(session, "bob")
    decide(session, again, ann, action="flag", label_id=None)
    assert take(session, settings, ann) == []
    assert take(session, settings, bob) == [document]


def test_two_tabs_of_one_person_show_the_same_and_decide_it_once(session: Session, settings: Settings, labels) -> None:
    first, second = (add_document(session, unlike(i)) for i in range(2))
    ann = person(session, "ann")
    one = take(session, settings, ann, 2)
    other = take(session, settings, ann, 2)  # the second tab has nothing on its page yet
    assert sorted(one) == sorted(other) == [first, second]
    item = next(each for each in queue_items.leased(session, ann, one) if each.document_id == first)

    written = decide(session, item, ann, label_id=labels[0])
    again = decide(session, item, ann, label_id=labels[0])
    assert (again.review_id, again.again) == (written.review_id, True)
    with pytest.raises(ConflictError, match="ann decided card arrival"):
        decide(session, item, ann, label_id=labels[1])
    session.rollback()
    assert session.query(Review).count() == 1
    assert take(session, settings, ann, 2) == [second]
