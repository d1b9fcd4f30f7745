"""How Postgres goes about a micro-batch."""

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import intake


def test_no_row_is_compared_with_each_other_row(session: Session) -> None:
    """Postgres takes a JSON list for 100 rows: it once compared each of 2,048 documents with each prediction."""
    rows = [{"source": "shop", "id": str(i), "hash": f"{i:064x}", "text": f"text {i}", "repaired": False,
             "lane": "bulk", "entry_id": f"{i}-0", "version": 1, "label": 1, "confidence": 0.9,
             "probabilities": [0.9, 0.1], "decision": "review", "windows": 1, "truncated": False, "margin": 0.8}
            for i in range(300)]  # fmt: skip
    given = {"rows": orjson.dumps(rows).decode(), "audit_share": 0.5}
    lines = [line for (line,) in session.execute(text(f"EXPLAIN (ANALYZE, TIMING OFF) {intake._STORE.text}"), given)]
    assert not [line for line in lines if "Rows Removed by Join Filter" in line or "Nested Loop" in line]
    assert session.scalar(text("SELECT count(*) FROM queue_items")) == 300
