"""Labelled documents: those with a human decision, the newest one per document."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

# The newest decision that is not superseded by an undo; skips decide nothing.
_LABELLED = text("""
WITH decided AS (
  SELECT DISTINCT ON (document_id) document_id, label_id, reason, action FROM reviews
  WHERE action IN ('confirm', 'correct', 'none_fits')
    AND NOT EXISTS (SELECT FROM reviews later WHERE later.supersedes_id = reviews.id)
  ORDER BY document_id, created_at DESC, id DESC)
SELECT documents.id, documents.text, documents.content_hash, labels.id AS label_id, labels.name AS label,
       decided.reason IN ('import', 'audit') AS may_be_held_out,
       document_splits.group_id, document_splits.split
FROM decided JOIN documents ON documents.id = document_id JOIN labels ON labels.id = label_id
LEFT JOIN document_splits ON document_splits.document_id = documents.id
WHERE labels.archived_at IS NULL ORDER BY documents.id
""")
_LABELS = text("INSERT INTO labels (name) SELECT unnest(CAST(:names AS text[])) ON CONFLICT (name) DO NOTHING")
_IMPORT = text("""
WITH incoming AS MATERIALIZED (
  SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS row (
    source text, id text, hash text, text text, repaired boolean, label text)
), stored AS (
  INSERT INTO documents (source, external_id, content_hash, text, repaired, lane)
  SELECT source, id, decode(hash, 'hex'), text, repaired, 'bulk' FROM incoming
  ON CONFLICT (source, external_id, content_hash) DO NOTHING
  RETURNING documents.id, source, external_id, content_hash
), known AS (
  SELECT documents.id, incoming.label FROM incoming JOIN documents
  ON documents.source = incoming.source AND external_id = incoming.id AND content_hash = decode(hash, 'hex')
  UNION ALL
  SELECT stored.id, incoming.label FROM stored JOIN incoming
  ON stored.source = incoming.source AND external_id = incoming.id AND content_hash = decode(hash, 'hex')
), reviewed AS (
  INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason)
  SELECT known.id, users.id, 'correct', labels.id, 'import'
  FROM known JOIN labels ON labels.name = known.label JOIN users ON users.name = 'import'
  WHERE NOT EXISTS (
    SELECT FROM reviews before WHERE before.document_id = known.id AND before.reviewer_id = users.id
    AND before.id = (SELECT max(id) FROM reviews last WHERE last.document_id = known.id
                     AND last.reviewer_id = users.id) AND before.label_id = labels.id)
  RETURNING document_id
)
SELECT (SELECT count(*) FROM stored), (SELECT count(*) FROM reviewed)
""")
_SPLITS = text("""
INSERT INTO document_splits (document_id, group_id, split, forced)
SELECT * FROM json_to_recordset(CAST(:rows AS json))
AS row (document_id bigint, group_id bigint, split text, forced boolean)
ON CONFLICT (document_id) DO NOTHING
""")


_LOCK = 0x50F71211  # the advisory lock of who assigns splits


class Labelled(NamedTuple):
    """A document and the label people gave it; ``split`` is None until it is assigned."""

    id: int
    text: str
    content_hash: bytes
    label_id: int
    label: str
    may_be_held_out: bool
    group_id: int | None
    split: str | None


def labelled_documents(session: Session) -> list[Labelled]:
    """All labelled documents of labels in use, by id."""
    return [Labelled(*row) for row in session.execute(_LABELLED)]


def import_examples(session: Session, rows: str, labels: Sequence[str]) -> tuple[int, int]:
    """Insert labelled examples (a JSON list with the keys of `incoming`), as reviewed by `import`.

    Returns:
        How many documents and how many reviews are new.
    """
    session.execute(_LABELS, {"names": list(labels)})
    documents, reviews = session.execute(_IMPORT, {"rows": rows}).one()
    return int(documents), int(reviews)


def lock_splits(session: Session) -> None:
    """Let nobody else assign splits until this transaction ends."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def store_splits(session: Session, rows: str) -> None:
    """Insert assignments (a JSON list of the columns below); an assigned document keeps its own."""
    session.execute(_SPLITS, {"rows": rows})


def split_counts(session: Session) -> dict[str, int]:
    """How many labelled documents each split has."""
    rows: Any = session.execute(text("SELECT split, count(*) FROM document_splits GROUP BY split"))
    return {split: int(count) for split, count in rows}
