"""Live accuracy on real rows: what counts as an answer, as drawn, as decided and as right."""

import json
from datetime import timedelta

import numpy as np
import pytest
from audited_traffic import add_answers
from filled_queue import add_document, add_labels, unlike
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import AnswerCount, ModelVersion
from db.queries import decisions, intake, labelled, merge_labels, people, status, upstream_decisions
from db.queries import live_accuracy as queries
from monitoring import live_accuracy
from monitoring.live_accuracy import Measured, of_version, today
from tests.incoming import incoming


@pytest.fixture
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


def look(session: Session, days: int = 28) -> Measured:
    queries.count_answers(session)
    session.commit()
    return of_version(session, 1, today() - timedelta(days=days), today())


def until_now(session: Session) -> Measured:
    return of_version(session, 1, today())


def test_audits_tell_of_all_answers_and_confidences_promise_beside(session: Session, labels: list[int]) -> None:
    card, cash, _ = labels
    add_answers(session, 880, card, confidence=0.95)
    add_answers(session, 80, cash, confidence=0.6, decision="review")
    add_answers(session, 20, card, probability=0.025, truth_id=card, confidence=0.95)
    add_answers(session, 12, cash, probability=0.2, truth_id=cash, confidence=0.6, decision="review")
    add_answers(session, 3, cash, probability=0.2, truth_id=card, confidence=0.6, decision="review")
    add_answers(session, 5, cash, probability=0.2, truth_id=None, confidence=0.6, decision="review")

    found = look(session)

    assert (found.answers, found.drawn, found.decided, found.right) == (1000, 40, 40, 32)
    assert found.value == pytest.approx(0.9 + 0.1 * 12 / 20)
    assert found.low < 0.96 < found.high
    assert found.expected == pytest.approx(0.9 * 0.95 + 0.1 * 0.6)


def test_audits_that_wait_are_counted_with_what_they_could_change(session: Session, labels: list[int]) -> None:
    add_answers(session, 70, labels[0], probability=0.1, truth_id=labels[0])
    add_answers(session, 20, labels[0], probability=0.1, truth_id=labels[1])
    add_answers(session, 10, labels[0], probability=0.1, decided=False)

    found = look(session)

    assert (found.drawn, found.waiting) == (100, 10)
    assert found.value == pytest.approx(7 / 9)
    assert (found.least, found.most) == pytest.approx((0.7, 0.8))


def test_what_people_said_last_is_right_but_only_once_the_audit_is_decided(session: Session, labels: list[int]) -> None:
    [decided] = add_answers(session, 1, labels[0], probability=0.1, truth_id=labels[0])
    add_answers(session, 1, labels[0], probability=0.1, decided=False)
    waiting = session.scalar(text("SELECT document_id FROM queue_items"))
    upstream = [upstream_decisions.Upstream(each, "crm: jo", "cash withdrawal", None) for each in (decided, waiting)]
    upstream_decisions.add(session, upstream)
    session.execute(text("UPDATE reviews SET created_at = created_at - interval '1 day' WHERE reason = 'upstream'"))

    found = look(session)

    assert (found.drawn, found.decided, found.right) == (2, 1, 0)  # nobody chose the one that waits at random


def test_an_audit_that_is_taken_back_waits_again(session: Session, labels: list[int]) -> None:
    ann = people.add(session, "ann", "reviewer", "tests").id
    document = add_document(session, unlike(1), reason="audit", sampling_probability=0.5)
    session.execute(
        text("UPDATE queue_items SET lease_token = 7, leased_to = :ann, lease_until = now() + interval '1 h'"),
        {"ann": ann},
    )
    done = decisions.decide(session, decisions.Decision(document, 7, "label", labels[0]), ann, decisions.Shares())
    session.commit()
    queries.count_answers(session)
    assert until_now(session)[1:4] == (1, 1, 1)

    decisions.undo(session, done.review_id, ann, 60)

    assert until_now(session)[1:4] == (1, 0, 0)
    score = session.scalar(text("SELECT score FROM queue_items WHERE reason = 'audit'"))
    assert score != pytest.approx(0.2)  # the margin: the least sure would be decided first


def test_what_was_decided_before_it_was_classified_is_no_answer_of_a_draw(session: Session, labels: list[int]) -> None:
    add_answers(session, 5, labels[0])
    document = add_document(session, unlike(1), reason=None)
    session.execute(
        text("INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason, created_at) "
             "SELECT :id, min(id), 'correct', :label, 'import', now() - interval '1 day' FROM users"),
        {"id": document, "label": labels[0]},
    )  # fmt: skip
    session.execute(text("INSERT INTO predictions SELECT document_id, 2, 'shadow', label_id, confidence, probabilities, "
                         "decision, windows, truncated, created_at FROM predictions WHERE kind = 'live'"))  # fmt: skip

    queries.count_answers(session)

    assert [each.documents for each in session.query(AnswerCount)] == [5]


def test_an_audit_that_was_decided_before_it_was_classified_tells_nothing_of_the_model(
    session: Session, labels: list[int]
) -> None:
    """It was drawn without a model, and a model may have been trained on the decision since."""
    add_answers(session, 2, labels[0], probability=0.5, truth_id=labels[0])
    session.execute(text("""
        UPDATE predictions SET created_at = (SELECT max(created_at) FROM reviews) + interval '1 s'
        WHERE document_id = (SELECT min(document_id) FROM reviews)"""))  # fmt: skip

    found = look(session)

    assert (found.drawn, found.decided) == (1, 1)
    assert [each.documents for each in session.query(AnswerCount)] == [1]


def test_audits_wait_in_an_order_that_has_nothing_to_do_with_the_answer(session: Session, labels: list[int]) -> None:
    rows = [
        {"source": "mail", "id": str(i), "hash": f"{i:064x}", "text": "a", "repaired": False, "meta": None,
         "lane": "live", "entry_id": f"{i}-1", "version": 1, "label": labels[0], "confidence": 0.9,
         "first": 3 * i, "labels": 3, "decision": "accept", "windows": 1, "truncated": False, "margin": 0.8}
        for i in range(8)
    ]  # fmt: skip

    probabilities = np.tile(np.array([0.9, 0.1, 0], np.float32), 8)
    intake.store_batch(session, incoming(rows), probabilities, intake.AuditShares(1.0))

    assert len(set(session.scalars(text("SELECT score FROM queue_items WHERE reason = 'audit'")))) == 8


def test_an_import_leaves_an_audit_in_its_draw(session: Session, labels: list[int]) -> None:
    for reason in ("audit", "doubtful"):
        add_document(session, unlike(1) + reason, reason=reason, sampling_probability=0.1, name=reason)
    rows = [
        {"source": "mail", "id": row.external_id, "hash": row.content_hash.hex(), "text": "", "repaired": False,
         "label": "exchange rate"}
        for row in session.execute(text("SELECT external_id, content_hash FROM documents"))
    ]  # fmt: skip

    labelled.import_examples(session, json.dumps(rows), ["exchange rate"])

    assert list(session.scalars(text("SELECT reason FROM queue_items"))) == ["audit"]


def test_a_merged_label_is_the_other_one(session: Session, labels: list[int]) -> None:
    add_answers(session, 4, labels[0], probability=0.5, truth_id=labels[1])
    assert look(session).right == 0

    merge_labels.merge(session, labels[0], labels[1], "tests")

    assert look(session).right == 4
    since, until = today() - timedelta(days=7), today()
    assert {each.label_id for each in queries.answered(session, since, until)} == {labels[1]}
    assert {each.label_id for each in queries.audited(session, since, until)} == {labels[1]}


def test_counting_again_changes_nothing_and_an_erased_document_stays_counted(
    session: Session, labels: list[int]
) -> None:
    add_answers(session, 5, labels[0], days=40.5)
    add_answers(session, 7, labels[0], days=-0.0001)
    for _ in range(2):
        queries.count_answers(session)
        assert sorted(each.documents for each in session.query(AnswerCount)) == [5, 7]
    session.execute(text("DELETE FROM predictions WHERE created_at < now() - interval '30 days'"))

    queries.count_answers(session)

    assert sorted(each.documents for each in session.query(AnswerCount)) == [5, 7]


def test_a_look_a_day_sees_what_was_decided_by_midnight(session: Session, labels: list[int]) -> None:
    add_answers(session, 5000, labels[0], confidence=0.97)
    add_answers(session, 170, labels[0], probability=0.05, truth_id=labels[0], confidence=0.97)
    add_answers(session, 30, labels[0], probability=0.05, truth_id=labels[1], confidence=0.97)
    late = add_answers(session, 10, labels[0], probability=0.05, truth_id=labels[1], confidence=0.97)
    session.execute(text("UPDATE reviews SET created_at = now() WHERE document_id = ANY(:ids)"), {"ids": late})
    queries.count_answers(session)

    made = live_accuracy.check_accuracy(session, 0.02)

    assert made is not None and made.alarm and made.accuracy == pytest.approx(0.85) and made.decided == 200
    assert made.expected == pytest.approx(0.97)
    assert made.low < 0.85 < made.high < 0.97
    assert live_accuracy.check_accuracy(session, 0.02) is None
    last = status.last_accuracy(session)
    assert last is not None and all(value == getattr(made, name) for name, value in last._asdict().items())


def test_a_form_that_is_wrong_does_not_hide_behind_one_that_answered_more(session: Session, labels: list[int]) -> None:
    add_answers(session, 99_000, labels[0], confidence=0.95, form="whole")
    add_answers(session, 950, labels[0], probability=0.01, truth_id=labels[0], confidence=0.95, form="whole")
    add_answers(session, 50, labels[0], probability=0.01, truth_id=labels[1], confidence=0.95, form="whole")
    add_answers(session, 9_900, labels[0], confidence=0.95, form="int8")
    add_answers(session, 70, labels[0], probability=0.01, truth_id=labels[0], confidence=0.95, form="int8")
    add_answers(session, 30, labels[0], probability=0.01, truth_id=labels[1], confidence=0.95, form="int8")
    queries.count_answers(session)

    made = live_accuracy.check_accuracy(session, 0.02)

    assert made is not None and made.alarm and made.accuracy == pytest.approx((10 * 0.95 + 0.7) / 11)
    assert {name: each["accuracy"] for name, each in made.forms.items()} == pytest.approx({"int8": 0.7, "whole": 0.95})
    assert {name: each["alarm"] for name, each in made.forms.items()} == {"int8": True, "whole": False}
    last = status.last_accuracy(session)
    assert last is not None and [form for form, _ in last.alarming] == ["int8"]


def test_one_form_alone_is_the_version(session: Session, labels: list[int]) -> None:
    add_answers(session, 100, labels[0], probability=0.05, truth_id=labels[1], confidence=0.97, form="int8")
    queries.count_answers(session)

    made = live_accuracy.check_accuracy(session, 0.02)

    assert made is not None and made.alarm and list(made.forms) == ["int8"]
    last = status.last_accuracy(session)
    assert last is not None and [form for form, _ in last.alarming] == [None]


def test_within_the_margin_there_is_no_alarm(session: Session, labels: list[int]) -> None:
    add_answers(session, 5000, labels[0], confidence=0.97)
    add_answers(session, 170, labels[0], probability=0.05, truth_id=labels[0], confidence=0.97)
    add_answers(session, 30, labels[0], probability=0.05, truth_id=labels[1], confidence=0.97)
    queries.count_answers(session)

    made = live_accuracy.check_accuracy(session, 0.1)

    assert made is not None and not made.alarm


def test_without_an_active_version_or_an_answer_there_is_nothing_to_alarm(session: Session, labels: list[int]) -> None:
    made = live_accuracy.check_accuracy(session, 0.02)
    assert made is not None and (made.accuracy, made.expected, made.alarm) == (None, None, False)
    assert live_accuracy.measured([], []) == (0, 0, 0, 0, None, 0, 1, None, 0, 1)

    session.query(ModelVersion).one().status = "retired"
    session.flush()

    assert live_accuracy.check_accuracy(session, 0.02) is None and status.last_accuracy(session) is None


def test_a_starter_promises_nothing_so_nothing_is_alarmed(session: Session, labels: list[int]) -> None:
    add_answers(session, 200, labels[0], probability=0.2, truth_id=labels[0], confidence=0.3)
    queries.count_answers(session)
    session.query(ModelVersion).one().starter = True
    session.flush()

    assert live_accuracy.check_accuracy(session, 0.02) is None
