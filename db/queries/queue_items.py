"""Queries on queue_items: what waits for a person, and why."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

_ADD = text("""
INSERT INTO queue_items (document_id, reason, score)
SELECT row.document_id, :reason, row.score
FROM unnest(CAST(:ids AS bigint[]), CAST(:scores AS real[])) AS row (document_id, score)
JOIN documents ON documents.id = row.document_id
ON CONFLICT (document_id) DO NOTHING
""")
_WAITING = text("SELECT reason, count(*) FROM queue_items GROUP BY reason")


def add(session: Session, items: Sequence[tuple[int, float]], reason: str) -> None:
    """Let documents (id, score) wait for a person; one that waits already keeps its reason.

    Args:
        reason: doubtful, audit, label_error, drift or flag.
    """
    ids, scores = [each[0] for each in items], [each[1] for each in items]
    session.execute(_ADD, {"ids": ids, "scores": scores, "reason": reason})


def waiting(session: Session) -> dict[str, int]:
    """How many documents wait for a person, by reason."""
    return {reason: int(count) for reason, count in session.execute(_WAITING)}
