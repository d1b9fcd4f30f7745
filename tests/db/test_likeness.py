"""The nearest vectors: with pgvector and without, each document once, and none whose decision could be swayed."""

from collections.abc import Callable

import numpy as np
import pytest
from filled_queue import add_document, add_labels, unlike
from like import WIDTH, add_vectors
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import embeddings, likeness


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


Find = Callable[..., list[tuple[int, float]]]


@pytest.fixture(params=[True, False], ids=["pgvector", "numpy"])
def find(request: pytest.FixtureRequest, session: Session) -> Find:
    assert embeddings.has_pgvector(session), "the embedded Postgres brings pgvector"

    def find(*vector: float, limit: int = 50, without: int | None = None) -> list[tuple[int, float]]:
        encoder = embeddings.encoder_of_active(session)
        assert encoder is not None
        wanted = np.array([*vector, *[0.0] * (WIDTH - len(vector))], np.float32)
        found = likeness.nearest(session, encoder, wanted, limit, without, in_postgres=request.param)
        return [(each.id, round(each.likeness, 3)) for each in found]

    return find


def test_the_nearest_come_first_and_length_does_not_count(session: Session, find: Find) -> None:
    same, near, far = (add_document(session, unlike(i)) for i in range(3))
    add_vectors(session, {far: [0, 1], near: [3, 4], same: [100, 0]})
    assert find(1, 0) == [(same, 1.0), (near, 0.6), (far, 0.0)]
    assert find(1, 0, limit=2) == [(same, 1.0), (near, 0.6)]
    assert find(1, 0, without=same) == [(near, 0.6), (far, 0.0)]


def test_a_document_in_two_slots_is_one(session: Session, find: Find) -> None:
    first, second = add_document(session, "one", None), add_document(session, "two")
    add_vectors(session, {first: [1, 0], second: [0, 1]})
    session.execute(
        text("INSERT INTO embeddings SELECT document_id, 0, encoder_id, vector FROM embeddings WHERE slot > 0")
    )
    session.commit()
    assert find(1, 0) == [(first, 1.0), (second, 0.0)]


def test_a_flood_of_what_may_not_be_seen_hides_nothing_else(session: Session, find: Find) -> None:
    flood = [add_document(session, f"copy {i}", reason) for i, reason in enumerate(["audit", "overlap"] * 20)]
    other = add_document(session, "other")
    add_vectors(session, {each: [1, 0] for each in flood} | {other: [1, 1]})
    assert find(1, 0, limit=3) == [(other, 0.707)]


def test_older_texts_vectors_of_others_and_zeros_are_left_out(session: Session, find: Find) -> None:
    old, zero = add_document(session, "old", name="a"), add_document(session, "zero")
    newer = add_document(session, "new", name="a")
    add_vectors(session, {old: [1, 0], newer: [0.6, 0.8], zero: [0, 0]})
    assert find(1, 0) == [(newer, 0.6)]
    assert find(1, 0, without=old) == [], "its newer text is the same document"
    add_vectors(session, {newer: [1, 0]}, key="another encoder")
    assert find(1, 0) == [(newer, 1.0)]
