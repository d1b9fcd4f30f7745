"""Vectors of documents in Postgres."""

import numpy as np
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import Embedding
from db.queries import embeddings, erasure, intake
from db.queries.intake import AuditShares
from db.vector_array import Matrix, VectorArray
from tests.db.test_intake import _row
from tests.incoming import incoming

_ENTERED = 134  # vectors that have entered the ring: so many that 40 before them are left behind


def vectors(count: int, width: int = 5, seed: int = 1) -> Matrix:
    """Numbers that half precision holds exactly."""
    return np.random.default_rng(seed).integers(-1000, 1000, (count, width)).astype(np.float32) / 64


def stored(session: Session) -> list[tuple[int, int, int]]:
    """Document, slot and encoder of each row."""
    found = select(Embedding.document_id, Embedding.slot, Embedding.encoder_id)
    return sorted(tuple(row) for row in session.execute(found.order_by(Embedding.document_id)))  # type: ignore[misc]


def arrive(session: Session, decisions: list[str], newest: int, first: int = 0) -> list[int]:
    """Store documents with these decisions and vectors, the last one's first."""
    count = len(decisions)
    rows = [_row(first + i, first=0, labels=1, encoder=7, vector=count - i) | {"decision": decision}
            for i, decision in enumerate(decisions)]  # fmt: skip
    given = VectorArray([vectors(count)[: count // 2], vectors(count)[count // 2 :]])
    intake.store_batch(session, incoming(rows), np.ones(1, np.float32), AuditShares(1e-12), given, newest)
    ids = dict(session.execute(text("SELECT external_id, id FROM documents")).all())  # type: ignore[arg-type]
    return [ids[str(first + i)] for i in range(count)]


def test_each_document_is_stored_with_its_own_vector(session: Session) -> None:
    ids = arrive(session, ["review", "accept", "review", "accept", "accept"], newest=100)

    found = embeddings.of_documents(session, 7, 5, ids)

    assert sorted(found.ids) == ids
    order = np.argsort(found.ids)
    np.testing.assert_array_equal(found.vectors[order], vectors(5)[::-1])
    assert [slot == 0 for _, slot, _ in stored(session)] == [True, False, True, False, False]
    assert embeddings.of_documents(session, 8, 5, ids).ids == []


def test_without_room_for_the_newest_only_what_waits_has_one(session: Session) -> None:
    ids = arrive(session, ["review", "accept", "review"], newest=0)
    assert [id_ for id_, *_ in stored(session)] == [ids[0], ids[2]]


def test_vectors_of_another_encoder_take_their_place(session: Session) -> None:
    ids = arrive(session, ["review", "accept", "accept"], newest=100)
    session.execute(
        text("INSERT INTO queue_items (document_id, reason, score) VALUES (:id, 'flag', 0)"), {"id": ids[1]}
    )

    embeddings.store(session, 9, ids[:2], vectors(2, 3), newest=100)

    assert stored(session)[:2] == [(ids[0], 0, 9), (ids[1], 0, 9)]
    assert stored(session)[2][2] == 7
    found = embeddings.of_documents(session, 9, 3, ids)
    np.testing.assert_array_equal(found.vectors[np.argsort(found.ids)], vectors(2, 3))


def test_what_half_precision_can_not_hold_is_kept_within_it(session: Session) -> None:
    ids = arrive(session, ["review"], newest=0)
    embeddings.store(session, 9, ids, np.array([[1e9, -1e9, np.nan, np.inf, 1e-9]], np.float32), newest=0)
    found = embeddings.of_documents(session, 9, 5, ids).vectors
    np.testing.assert_array_equal(found, [[65504, -65504, 0, 65504, 0]])


def test_the_ring_is_emptied_part_by_part_and_keeps_what_is_needed(session: Session) -> None:
    ids = arrive(session, ["accept"] * 40 + ["review"], newest=80)
    decided = "INSERT INTO reviews (document_id, reviewer_id, action, reason) VALUES (:id, 1, 'none_fits', 'flag')"
    session.execute(text(decided), {"id": ids[3]})
    assert embeddings.expire(session, 80) == 0  # all of them are among the newest
    session.execute(text("SELECT setval('embeddings_ring', :entered)"), {"entered": _ENTERED})
    [newest] = arrive(session, ["accept"], newest=80, first=100)

    emptied = [number for _ in range(20) if (number := embeddings.expire(session, 80))]

    assert 4 <= len(emptied) == len(set(emptied)) <= 6
    assert [(id_, slot == 0) for id_, slot, _ in stored(session)] == [
        (ids[3], True), (ids[-1], True), (newest, False),
    ]  # fmt: skip


def test_without_room_the_ring_is_emptied_whole(session: Session) -> None:
    arrive(session, ["accept"] * 40, newest=80)
    emptied = [number for _ in range(20) if (number := embeddings.expire(session, 0))]
    assert len(emptied) == len(set(emptied)) == 5
    assert stored(session) == []


def test_the_newest_are_taken_once_and_by_number(session: Session) -> None:
    ids = arrive(session, ["accept", "review", "accept", "accept"], newest=100)
    given = "INSERT INTO embeddings SELECT document_id, 0, encoder_id, vector FROM embeddings WHERE document_id = :id"
    session.execute(text(given), {"id": ids[3]})
    assert sorted(embeddings.newest_ones(session, 7, 5, 3).ids) == ids[1:]


def test_what_nothing_needs_any_more_goes_page_by_page(session: Session) -> None:
    ids = arrive(session, ["review"] * 5, newest=0)
    session.execute(text("DELETE FROM queue_items WHERE document_id = ANY(:ids)"), {"ids": ids[:3]})

    after = embeddings.forget_unneeded(session, 0, 2, newest=0)
    assert after == ids[1]
    while after:
        after = embeddings.forget_unneeded(session, after, 2, newest=0)

    assert [id_ for id_, *_ in stored(session)] == ids[3:]


def test_erasure_reaches_them(session: Session) -> None:
    ids = arrive(session, ["review", "accept", "accept"], newest=100)
    erasure.delete_documents(session, ids[:2], "request")
    assert [id_ for id_, *_ in stored(session)] == ids[2:]


def test_an_encoder_has_one_number(session: Session) -> None:
    first = embeddings.encoder_id(session, "a", "whole", 5)
    assert embeddings.encoder_id(session, "a", "whole", 5) == first
    assert embeddings.encoder_id(session, "a", "int8", 5) != first


@pytest.mark.parametrize("rows", [0, 3])
def test_a_batch_may_have_no_vectors(session: Session, rows: int) -> None:
    given = [_row(i, first=0, labels=1) for i in range(rows)]
    intake.store_batch(session, incoming(given), np.ones(1, np.float32), AuditShares(1e-12))
    assert stored(session) == []
