"""Counts are exact while they are few; what is said beyond is near the truth, and said to be an estimate."""

import pytest
from filled_queue import add_document, add_labels, add_many
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import counts, dead_letter_counts, waiting_counts
from db.queries.counts import Count

MANY = 10_500


def test_few_are_counted(session: Session) -> None:
    add_many(session, 3)
    add_labels(session)
    add_document(session, "who am i", reason="flag")

    assert waiting_counts.by_reason(session) == {"doubtful": Count(3), "flag": Count(1)}
    assert dead_letter_counts.count(session) == Count(3)


def test_none_are_none(session: Session) -> None:
    assert waiting_counts.by_reason(session) == {}
    assert dead_letter_counts.count(session) == Count(0)


def test_many_are_estimated_each_reason_by_itself(session: Session) -> None:
    add_many(session, MANY)
    add_labels(session)
    add_document(session, "who am i", reason="flag")
    session.execute(text("UPDATE dead_letters SET requeued_at = now() WHERE id % 2100 = 0"))

    waiting, dead = waiting_counts.by_reason(session), dead_letter_counts.count(session)

    assert waiting["flag"] == Count(1)
    assert not waiting["doubtful"].exact and waiting["doubtful"].rows == pytest.approx(MANY, rel=0.05)
    assert not dead.exact and dead.rows == pytest.approx(MANY, rel=0.05)


def test_an_estimate_is_never_less_than_what_was_counted(session: Session) -> None:
    add_many(session, MANY, analysed=False)

    assert waiting_counts.by_reason(session) == {"doubtful": Count(counts.MOST, exact=False)}


def test_one_less_than_the_most_is_counted(session: Session) -> None:
    add_many(session, counts.MOST - 1)

    assert waiting_counts.by_reason(session) == {"doubtful": Count(counts.MOST - 1)}
