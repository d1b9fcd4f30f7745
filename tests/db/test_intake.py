"""How Postgres goes about a micro-batch."""

from typing import Any

import numpy as np
import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import intake
from db.real_array import RealArray
from db.vector_array import VectorArray
from tests.incoming import incoming


def _row(i: int, **more: int) -> dict[str, Any]:
    return {"source": "shop", "id": str(i), "hash": f"{i:064x}", "text": f"text {i}", "repaired": False, "lane": "bulk",
            "entry_id": f"{i}-0", "version": 1, "label": 1, "confidence": 0.9, "decision": "review", "windows": 1,
            "truncated": False, "margin": 0.8, **more}  # fmt: skip


def test_no_row_is_compared_with_each_other_row(session: Session) -> None:
    """Postgres takes a JSON list for 100 rows: it once compared each of 2,048 documents with each prediction."""
    rows = [_row(i, first=2 * i, labels=2, encoder=1, vector=i + 1) for i in range(300)]
    probabilities = RealArray(np.tile(np.array([0.9, 0.1], np.float32), 300))
    given = {
        "rows": incoming(rows), "probabilities": probabilities, **intake.AuditShares(0.5).given(),
        "vectors": VectorArray([np.ones((300, 4), np.float32)]), "newest": 100,
    }  # fmt: skip
    lines = [line for (line,) in session.execute(text(f"EXPLAIN (ANALYZE, TIMING OFF) {intake._STORE.text}"), given)]
    assert not [line for line in lines if "Rows Removed by Join Filter" in line or "Nested Loop" in line]
    assert session.scalar(text("SELECT count(*) FROM queue_items")) == 300
    assert session.scalar(text("SELECT count(*) FROM embeddings WHERE slot = 0")) == 300


def test_each_row_finds_its_own_probabilities(session: Session) -> None:
    own = [np.array(each, np.float32) for each in ([0.9, 0.1], [0.2, 0.5, 0.3], [1.0], [1 / 3, 1e-30, 2 / 3])]
    rows = [_row(i, first=sum(map(len, own[:i])), labels=len(own[i])) for i in (2, 0, 3, 1)]
    intake.store_batch(session, incoming(rows), np.concatenate(own), intake.AuditShares(0.5))
    stored = session.execute(text(
        "SELECT external_id, probabilities FROM documents JOIN predictions ON document_id = documents.id"
    )).all()  # fmt: skip
    assert len(stored) == 4
    for id_, probabilities in stored:
        assert np.array(probabilities, np.float32).tolist() == own[int(id_)].tolist()
    assert session.scalar(text("SELECT count(*) FROM predictions WHERE array_lower(probabilities, 1) = 1")) == 4


def test_all_that_is_known_of_a_document_is_stored(session: Session) -> None:
    more = {"source": "Läden", "meta": b'{"a": [1, "\xc3\xa4"]}', "repaired": True, "truncated": True, "windows": 3,
            "unknown_share": 0.25, "fit": 0.75, "revision": 4, "form": "int8", "decision": "accept"}  # fmt: skip
    rows = [_row(1, label=7) | more, _row(2)]
    intake.store_batch(session, incoming(rows), np.ones(1, np.float32), intake.AuditShares(1e-12))

    documents = session.execute(text(
        "SELECT source, external_id, encode(content_hash, 'hex'), text, repaired, meta, lane, entry_id FROM documents "
        "ORDER BY id"
    )).all()  # fmt: skip
    assert documents == [
        ("Läden", "1", f"{1:064x}", "text 1", True, {"a": [1, "ä"]}, "bulk", "1-0"),
        ("shop", "2", f"{2:064x}", "text 2", False, None, "bulk", "2-0"),
    ]
    predictions = session.execute(text(
        "SELECT model_version_id, kind, label_id, confidence, fit, decision, windows, truncated, unknown_share, form, "
        "revision FROM predictions ORDER BY document_id"
    )).all()  # fmt: skip
    assert predictions == [
        (1, "live", 7, pytest.approx(0.9), 0.75, "accept", 3, True, 0.25, "int8", 4),
        (1, "live", 1, pytest.approx(0.9), None, "review", 1, False, None, "whole", None),
    ]


def test_a_known_document_without_a_prediction_gets_one_and_with_one_keeps_it(session: Session) -> None:
    session.execute(
        text("""
        INSERT INTO documents (source, external_id, content_hash, text, lane)
        SELECT 'shop', i::text, decode(lpad(to_hex(i), 64, '0'), 'hex'), 'text', 'bulk' FROM generate_series(1, 2) i""")
    )
    session.execute(text("INSERT INTO labels (id, name) VALUES (1, 'a'), (2, 'b')"))
    for version in (1, 2):
        rows = [_row(i, version=version, label=version) for i in range(version, 4)]
        known = intake.store_batch(session, incoming(rows), np.ones(1, np.float32), intake.AuditShares(1e-12))
    assert {key[1]: found and found.model_version_id for key, found in known.items()} == {"2": 1, "3": 1}
    stored = session.execute(text(
        "SELECT external_id, model_version_id FROM documents JOIN predictions ON document_id = id ORDER BY id"
    )).all()  # fmt: skip
    assert stored == [("1", 1), ("2", 1), ("3", 1)]


@pytest.mark.parametrize("predicted", [True, False])
def test_the_first_documents_are_drawn_more_often_and_keep_their_probability(session: Session, predicted: bool) -> None:
    shares = intake.AuditShares(later=1e-12, first=1.0, documents=4)
    for some in (range(3), range(1, 6)):  # two of the second batch are known, and so are drawn no second time
        rows = [_row(i, first=0, labels=1) for i in some]
        if predicted:
            intake.store_batch(session, incoming(rows), np.ones(1, np.float32), shares)
        else:
            intake.store_unpredicted(session, orjson.dumps(rows).decode(), shares)
    drawn = session.execute(text(
        "SELECT external_id, sampling_probability FROM queue_items JOIN documents ON id = document_id "
        "WHERE reason = 'audit' AND document_id <= 4 ORDER BY document_id"
    )).all()  # fmt: skip
    assert [id_ for id_, _ in drawn][:3] == ["0", "1", "2"]
    assert {probability for _, probability in drawn} == {1.0}
    others = session.execute(text("SELECT reason, sampling_probability FROM queue_items WHERE document_id > 4")).all()
    assert set(others) == {("doubtful" if predicted else "unpredicted", None)}


def test_the_usual_share_counts_for_the_first_documents_too_if_it_is_the_larger(session: Session) -> None:
    rows = [_row(1, first=0, labels=1)]
    intake.store_batch(session, incoming(rows), np.ones(1, np.float32), intake.AuditShares(1.0, 0.2, 2_000))
    assert session.execute(text("SELECT reason, sampling_probability FROM queue_items")).all() == [("audit", 1.0)]
