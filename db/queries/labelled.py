"""Labelled documents: those that people have decided, with a label or with "none fits"."""

from collections.abc import Sequence
from sys import intern
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db import locks
from db.locks import Lock
from db.queries.standing import NEWEST_REVIEW_FIRST, decides, standing_decision, stands

# Each reviewer has one vote, their newest decision that no undo supersedes; skips decide nothing. The majority wins, or
# in a tie the latest vote. A vote for a merged label counts for the label that it was merged into; the decision itself,
# which snapshots name, stays as it was made. "None fits" is a vote too, with the label null.
_LABELLED = text(f"""
WITH standing AS (
  SELECT DISTINCT ON (document_id, reviewer_id) document_id, id, label_id, reason, created_at, sampling_probability
  FROM reviews
  WHERE {decides()} AND {stands()} ORDER BY document_id, reviewer_id, {NEWEST_REVIEW_FIRST}
), voted AS (
  SELECT document_id, coalesce(merged_into_id, label_id) AS label_id, count(*) AS votes,
         max(created_at) AS newest_at, array_agg(standing.id ORDER BY standing.id) AS review_ids,
         bool_or(reason = 'import') AS imported, bool_or(reason = 'audit') AS audited,
         max(sampling_probability) AS drawn_with
  FROM standing LEFT JOIN labels ON labels.id = label_id GROUP BY 1, 2
), decided AS (
  SELECT DISTINCT ON (document_id) document_id, label_id, review_ids, count(*) OVER labels > 1 AS conflict,
         bool_or(imported) OVER labels AS imported, bool_or(audited) OVER labels AS audited,
         max(drawn_with) OVER labels AS drawn_with
  FROM voted WINDOW labels AS (PARTITION BY document_id)
  ORDER BY document_id, votes DESC, newest_at DESC, review_ids DESC)
SELECT documents.id, documents.text, documents.content_hash, labels.id AS label_id, coalesce(labels.name, '') AS label,
       imported OR audited AS may_be_held_out, document_splits.group_id, document_splits.split,
       CASE WHEN audited THEN 'audit' WHEN imported THEN 'import' ELSE 'review' END AS origin, review_ids, conflict,
       drawn_with
FROM decided JOIN documents ON documents.id = document_id LEFT JOIN labels ON labels.id = label_id
LEFT JOIN document_splits ON document_splits.document_id = documents.id
WHERE labels.archived_at IS NULL ORDER BY documents.id
""")  # noqa: S608 - of constants alone
_WHOLE = text("SET LOCAL cursor_tuple_fraction = 1")  # the plan is for all rows, not for the first ones
_PART = 10_000
_TEXTS = text("SELECT id, text FROM documents WHERE id = ANY(:ids)")
_BEGINNINGS = text("SELECT id, left(text, :chars) AS text FROM documents WHERE id = ANY(:ids)")
_NEWEST = text("SELECT left(text, 4096) FROM documents ORDER BY id DESC LIMIT :count")
_LABELS = text("INSERT INTO labels (name) SELECT unnest(CAST(:names AS text[])) ON CONFLICT (name) DO NOTHING")
_IMPORT = text(f"""
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
  SELECT known.id, users.id, CASE WHEN known.label IS NULL THEN 'none_fits' ELSE 'correct' END, labels.id, 'import'
  FROM known LEFT JOIN labels ON labels.name = known.label JOIN users ON users.name = 'import'
  WHERE (known.label IS NULL OR labels.id IS NOT NULL) AND NOT EXISTS (
    SELECT FROM reviews before WHERE before.document_id = known.id AND before.reviewer_id = users.id
    AND before.id = (SELECT max(id) FROM reviews last WHERE last.document_id = known.id
                     AND last.reviewer_id = users.id) AND before.label_id IS NOT DISTINCT FROM labels.id)
  -- An example that Sortline exported repeats the standing decision, whoever made it, and is not added again.
  AND NOT (:own AND EXISTS (
    SELECT FROM {standing_decision("known.id")} standing LEFT JOIN labels given ON given.id = standing.label_id
    WHERE coalesce(given.merged_into_id, given.id) IS NOT DISTINCT FROM labels.id))
  RETURNING document_id
), decided AS (
  DELETE FROM queue_items USING reviewed WHERE queue_items.document_id = reviewed.document_id AND reason <> 'audit'
)
SELECT (SELECT count(*) FROM stored), (SELECT count(*) FROM reviewed)
""")  # noqa: S608 - of constants alone
_SIZE = text("""
SELECT count(*), coalesce(sum(least(length(text), :most)), 0)
FROM document_splits JOIN documents ON documents.id = document_id WHERE split = 'train'
""")
_KNOWN = text("""
SELECT count(*) FROM json_to_recordset(CAST(:rows AS json)) AS row (source text, id text, hash text)
JOIN documents ON documents.source = row.source AND external_id = row.id AND content_hash = decode(hash, 'hex')
""")
_SPLITS = text("""
INSERT INTO document_splits (document_id, group_id, split, forced)
SELECT row.* FROM json_to_recordset(CAST(:rows AS json))
AS row (document_id bigint, group_id bigint, split text, forced boolean)
JOIN documents ON documents.id = row.document_id FOR KEY SHARE OF documents
ON CONFLICT (document_id) DO NOTHING
""")


class Labelled(NamedTuple):
    """A document and what people decided of it: a label, or that none fits.

    ``label_id`` is None, and ``label`` empty, if no label fits. ``split`` is None until it is assigned; ``origin``:
    import, audit or review; ``review_ids``: the decisions for this answer, in order; ``conflict``: whether people's
    standing decisions differ; ``drawn_with``: the probability with which it was drawn for an audit.
    """

    id: int
    text: str
    content_hash: bytes
    label_id: int | None
    label: str
    may_be_held_out: bool
    group_id: int | None
    split: str | None
    origin: str = "import"
    review_ids: Sequence[int] = ()
    conflict: bool = False
    drawn_with: float | None = None


def labelled_documents(session: Session) -> list[Labelled]:
    """All documents that people have decided, by id; without those whose label is archived.

    They are read in parts, and words that many of them share are in memory once: a million documents of 20 words take
    about 0.6 GB.
    """
    session.execute(_WHOLE)
    rows = session.execute(_LABELLED, execution_options={"yield_per": _PART})
    return [_labelled(row) for part in rows.partitions() for row in part]


def _labelled(row: Any) -> Labelled:
    found = Labelled(*row)
    return found._replace(
        label=intern(found.label), split=found.split and intern(found.split), origin=intern(found.origin)
    )


def newest_review_id(session: Session) -> int:
    """The greatest id of a decision; 0: there are none."""
    return int(session.scalar(text("SELECT coalesce(max(id), 0) FROM reviews")) or 0)


def texts(session: Session, ids: Sequence[int]) -> dict[int, str]:
    """Texts of documents by id; erased documents are missing."""
    return {row.id: row.text for row in session.execute(_TEXTS, {"ids": list(ids)})}


def beginnings(session: Session, ids: Sequence[int], chars: int) -> dict[int, str]:
    """The first characters of documents' texts by id; erased documents are missing."""
    rows = session.execute(_BEGINNINGS, {"ids": list(ids), "chars": chars})
    return {row.id: row.text for row in rows}


def newest_texts(session: Session, count: int) -> list[str]:
    """The beginnings of the newest documents' texts, at most ``count``."""
    return list(session.scalars(_NEWEST, {"count": count}))


def import_examples(session: Session, rows: str, labels: Sequence[str], own: bool = False) -> tuple[int, int]:
    """Insert labelled examples (a JSON list with the keys of `incoming`), with reviews by the reviewer `import`.

    Args:
        rows: a label that is null says that none fits.
        own: Sortline exported these examples itself: a decision that stands already is not added again.

    Returns:
        The numbers of new documents and of new reviews.
    """
    session.execute(_LABELS, {"names": list(labels)})
    documents, reviews = session.execute(_IMPORT, {"rows": rows, "own": own}).one()
    return int(documents), int(reviews)


def count_known(session: Session, rows: str) -> int:
    """The number of these examples (a JSON list of source, id and hash) that are documents already."""
    return int(session.scalar(_KNOWN, {"rows": rows}) or 0)


def training_size(session: Session, most: int) -> tuple[int, int]:
    """How many documents have the split that trains, and their characters; of each at most ``most`` count."""
    documents, characters = session.execute(_SIZE, {"most": most}).one()
    return int(documents), int(characters)


def lock_splits(session: Session) -> None:
    """Let nobody else assign splits until this transaction ends."""
    locks.hold(session, Lock.SPLITS)


def store_splits(session: Session, rows: str) -> None:
    """Insert splits (a JSON list with the columns below).

    A document that has a split keeps it; one that was erased meanwhile gets none.
    """
    session.execute(_SPLITS, {"rows": rows})


def split_counts(session: Session) -> dict[str, int]:
    """The number of labelled documents in each split."""
    rows: Any = session.execute(text("SELECT split, count(*) FROM document_splits GROUP BY split"))
    return {split: int(count) for split, count in rows}
