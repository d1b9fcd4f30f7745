"""Queries on the index that searches by words use: documents enter it after they are stored.

The transaction that stores documents notes them in `search_pending`; whoever deletes such a row indexes its documents
in the same transaction. So a document is indexed once, whenever its transaction commits, and a job that is killed
leaves its rows to the next one. Nothing remembers up to which id documents are indexed: one with a smaller id may be
committed later.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import erasure

_MOST_ROWS = 2_000  # of search_pending, in one transaction
_MOST_BYTES = 2_000_000

# ARRAY(...): the planner then fetches these documents by id, however many it thinks they are.
_INDEX = text("""
WITH due AS MATERIALIZED (
  SELECT id, bytes FROM search_pending ORDER BY id LIMIT :rows FOR UPDATE SKIP LOCKED
), chosen AS (
  SELECT id FROM (SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS before FROM due) counted WHERE before < :bytes
), taken AS (
  DELETE FROM search_pending WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING document_ids, documents
), indexed AS (
  INSERT INTO search_index (document_id, received_at, words) SELECT id, received_at, document_words(text)
  FROM documents
  WHERE id = ANY(ARRAY(SELECT unnest(document_ids) FROM taken)) ON CONFLICT DO NOTHING
)
SELECT coalesce(sum(documents), 0) FROM taken
""")


def index_batch(session: Session) -> int:
    """Index the documents that wait longest, about 2 MB of text; returns how many they were. The caller commits.

    Several may do this at once: each takes other documents.
    """
    erasure.shut_out(session)
    return int(session.scalar(_INDEX, {"rows": _MOST_ROWS, "bytes": _MOST_BYTES}) or 0)
