"""Figures for overviews; each is fast with tables of any size."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

# The block-range index finds the rows of a period without reading the rest.
_CLASSIFIED = text("""
SELECT count(*), count(*) FILTER (WHERE decision = 'accept') FROM predictions
WHERE created_at >= :start AND created_at < :end AND kind = 'live'
""")
# Exact while there are few; beyond, the count of the last VACUUM or ANALYZE, including partitions if there are any.
_STORED = text("""
SELECT greatest((SELECT count(*) FROM (SELECT FROM documents LIMIT :most) few), (
  SELECT CAST(coalesce(sum(greatest(reltuples, 0)), 0) AS bigint) FROM pg_class WHERE relkind = 'r' AND
    (oid = CAST('documents' AS regclass)
     OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = CAST('documents' AS regclass)))))
""")
_MOST_COUNTED = 50_000


class Classified(NamedTuple):
    """Numbers of documents classified in a period, and of those that were accepted."""

    documents: int
    accepted: int


def classified(session: Session, start: datetime, end: datetime) -> Classified:
    """Documents classified from ``start`` to before ``end``."""
    return Classified(*session.execute(_CLASSIFIED, {"start": start, "end": end}).one())


def stored(session: Session) -> tuple[int, bool]:
    """The number of stored documents, and whether it is exact."""
    count = int(session.scalar(_STORED, {"most": _MOST_COUNTED}) or 0)
    return count, count < _MOST_COUNTED
