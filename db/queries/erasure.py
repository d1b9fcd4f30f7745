"""Queries of erasure: delete documents and their rows in other tables, and keep them from coming back.

A document's name is its (source, id). For an erased name, a hash is kept with the last entry id of each stream at that
moment: what was sent before is not stored again, and what is sent later is a new document.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from db import locks
from db.locks import Lock
from db.models import AuditEvent
from db.queries import outbox
from db.queries.standing import newest_prediction, standing_decision

Name = tuple[str, str]

# Tables whose rows are deleted with their document, in this order. snapshot_reviews stay: they only hold ids of
# decisions, which say nothing once the decisions are gone, and a model's decisions can still be counted.
HANGING = (
    "explanations", "webhook_deliveries", "outbox", "queue_items", "document_splits", "search_index", "form_draws",
    "unpredicted", "embeddings", "topic_documents", "predictions", "reviews",
)  # fmt: skip
# The label of a document: the one that people gave it, else that of the newest prediction.
SAID = f"""
LEFT JOIN LATERAL {standing_decision("documents.id")} decided ON true
LEFT JOIN LATERAL {newest_prediction("documents.id")} predicted ON true
LEFT JOIN LATERAL (
  SELECT CASE WHEN decided.id IS NULL THEN predicted.label_id ELSE decided.label_id END AS label_id) said ON true
"""

_PATIENCE = "10s"
_NAMES = "unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS name (source, id)"
_BY_META = text("SELECT DISTINCT source, external_id FROM documents WHERE meta ->> :key = :value")
_LETTERS = text("SELECT id, source, external_id, raw FROM dead_letters ORDER BY id")
_FOUND = text(f"""
SELECT documents.id FROM documents JOIN {_NAMES} ON documents.source = name.source AND external_id = name.id
ORDER BY documents.id
""")  # noqa: S608 - of constants alone
_FACTS = text("""
SELECT count(*) AS documents,
  (SELECT count(*) FROM predictions WHERE document_id = ANY(:ids)) AS predictions,
  (SELECT count(*) FROM reviews WHERE document_id = ANY(:ids)) AS reviews,
  (SELECT count(*) FROM document_splits
   WHERE document_id = ANY(:ids) AND split IN ('validation', 'calibration', 'test')) AS held_out
FROM documents WHERE id = ANY(:ids)
""")
_COUNT_LETTERS = text(f"""
SELECT count(*) FROM dead_letters WHERE id = ANY(:letters) OR (source, external_id) IN (SELECT * FROM {_NAMES})
""")  # noqa: S608 - of constants alone
_DELETE_LETTERS = text(f"""
WITH told AS (
  DELETE FROM webhook_deliveries WHERE document_id IS NULL AND ((source, external_id) IN (SELECT * FROM {_NAMES})
    OR (source, external_id) IN (SELECT source, external_id FROM dead_letters WHERE id = ANY(:letters))))
DELETE FROM dead_letters WHERE id = ANY(:letters) OR (source, external_id) IN (SELECT * FROM {_NAMES})
""")  # noqa: S608 - of constants alone
_COUNT = text(f"""
INSERT INTO erased_counts (month, label_id, split, reason, documents, predictions, reviews)
SELECT CAST(date_trunc('month', received_at AT TIME ZONE 'UTC') AS date), said.label_id, split, :reason, count(*),
  sum((SELECT count(*) FROM predictions WHERE document_id = documents.id)),
  sum((SELECT count(*) FROM reviews WHERE document_id = documents.id))
FROM documents LEFT JOIN document_splits ON document_splits.document_id = documents.id {SAID}
WHERE documents.id = ANY(:ids) GROUP BY 1, 2, 3
ON CONFLICT (month, label_id, split, reason) DO UPDATE SET
  documents = erased_counts.documents + excluded.documents,
  predictions = erased_counts.predictions + excluded.predictions, reviews = erased_counts.reviews + excluded.reviews
""")  # noqa: S608 - of constants alone
_NOT_PENDING = text("""
UPDATE search_pending SET document_ids = kept.ids, documents = cardinality(kept.ids)
FROM (SELECT id, ARRAY(SELECT each FROM unnest(document_ids) each WHERE each <> ALL(:ids)) AS ids
      FROM search_pending WHERE document_ids && CAST(:ids AS bigint[])) kept
WHERE kept.id = search_pending.id
""")
_REMEMBER = text("""
INSERT INTO erasures (name_hash, before) SELECT unnest(CAST(:hashes AS bytea[])), CAST(:before AS jsonb)
ON CONFLICT (name_hash) DO UPDATE SET erased_at = excluded.erased_at, before = excluded.before, swept_at = NULL
""")
_UNSWEPT = text(
    "SELECT name_hash, before, erased_at FROM erasures WHERE swept_at IS NULL ORDER BY erased_at LIMIT 10000"
)
_SWEPT = text("""
UPDATE erasures SET swept_at = now()
FROM unnest(CAST(:hashes AS bytea[]), CAST(:times AS timestamptz[])) AS swept (name_hash, erased_at)
WHERE erasures.name_hash = swept.name_hash AND erasures.erased_at = swept.erased_at
""")
_ALL = text("SELECT name_hash, before, erased_at FROM erasures ORDER BY erased_at, name_hash")
_ADD = text("""
INSERT INTO erasures (name_hash, before, erased_at) VALUES (:name_hash, CAST(:before AS jsonb), :erased_at)
ON CONFLICT (name_hash) DO UPDATE SET before = excluded.before, erased_at = excluded.erased_at, swept_at = NULL
WHERE erasures.erased_at < excluded.erased_at
""")
_KNOWN = text(f"""
SELECT name.* FROM {_NAMES}
WHERE EXISTS (SELECT FROM documents WHERE documents.source = name.source AND external_id = name.id)
  OR EXISTS (SELECT FROM dead_letters WHERE dead_letters.source = name.source AND external_id = name.id)
""")  # noqa: S608 - of constants alone
_MISSING = text("""
SELECT id FROM unnest(CAST(:ids AS bigint[])) AS asked (id)
WHERE NOT EXISTS (SELECT FROM documents WHERE documents.id = asked.id)
""")


def _name_hash(source: str, id_: str) -> str:
    return f"sha256(convert_to(length({source}) || ':' || {source} || {id_}, 'UTF8'))"


# Erased documents that a backup older than the erasure brought back.
_RETURNED = text(f"""
SELECT source, external_id FROM documents JOIN erasures ON name_hash = {_name_hash("source", "external_id")}
WHERE received_at <= erased_at
UNION SELECT source, external_id FROM dead_letters JOIN erasures ON name_hash = {_name_hash("source", "external_id")}
WHERE created_at <= erased_at
""")  # noqa: S608 - of constants alone


class Erasure(NamedTuple):
    """An erased name; ``before``: the last entry id of `live`, `bulk` and `results` at that time."""

    name_hash: bytes
    before: dict[str, str]
    erased_at: datetime


class Letter(NamedTuple):
    """A dead letter with its name, if it has one, and its packed fields."""

    id: int
    source: str | None
    external_id: str | None
    raw: bytes


class Facts(NamedTuple):
    """Numbers of rows of each kind."""

    documents: int
    predictions: int
    reviews: int
    held_out: int


def name_hash(source: str, id_: str) -> bytes:
    """The hash that is kept for an erased name."""
    return sha256(f"{len(source)}:{source}{id_}".encode()).digest()


def is_erased(row: str) -> str:
    """SQL condition: a row with source, id, lane and entry_id was erased after it was sent.

    Where nothing was ever erased, no name is hashed and looked up.
    """
    name = _name_hash(f"{row}.source", f"{row}.id")
    return f"""(SELECT EXISTS (SELECT FROM erasures)) AND EXISTS (SELECT FROM erasures WHERE name_hash = {name}
      AND entry_order({row}.entry_id) <= entry_order(before ->> {row}.lane))"""  # noqa: S608 - of constants alone


def shut_out(session: Session) -> None:
    """Let nobody erase until this transaction ends, so that what it reads in `erasures` stays true.

    This is a statement of its own so that the next one sees all earlier erasures.
    """
    locks.share(session, Lock.ERASURE)


def begin(session: Session) -> None:
    """Let nobody store documents or send events until this transaction ends; waits up to 10 s for those who do."""
    session.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
    outbox.stop(session)
    locks.hold(session, Lock.ERASURE)


def names_by_meta(session: Session, key: str, value: str) -> list[Name]:
    """Names of the documents whose meta has that value; reads the whole table."""
    return [(row.source, row.external_id) for row in session.execute(_BY_META, {"key": key, "value": value})]


def letters(session: Session) -> Iterator[Letter]:
    """All dead letters, read a few at a time, because one can have a mebibyte."""
    for row in session.execute(_LETTERS, execution_options={"yield_per": 50}):
        yield Letter(*row)


def find(session: Session, names: Sequence[Name]) -> list[int]:
    """Ids of all versions of the documents with these names."""
    return list(session.scalars(_FOUND, _named(names)))


def facts(session: Session, ids: Sequence[int]) -> Facts:
    """Numbers of these documents and of the rows that belong to them."""
    return Facts(*session.execute(_FACTS, {"ids": list(ids)}).one())


def count_letters(session: Session, names: Sequence[Name], ids: Sequence[int] = ()) -> int:
    """The number of dead letters with these names or ids."""
    return int(session.scalar(_COUNT_LETTERS, {**_named(names), "letters": list(ids)}) or 0)


def delete_letters(session: Session, names: Sequence[Name], ids: Sequence[int] = ()) -> int:
    """Delete the dead letters with these names or ids; waits for ones being requeued. Returns their number."""
    done = session.execute(_DELETE_LETTERS, {**_named(names), "letters": list(ids)})
    return int(done.rowcount)  # type: ignore[attr-defined]


def remember(session: Session, names: Sequence[Name], before: Mapping[str, str]) -> None:
    """Note that what was sent under these names up to ``before`` must not be stored again."""
    hashes = sorted({name_hash(*name) for name in names})
    session.execute(_REMEMBER, {"hashes": hashes, "before": orjson.dumps(dict(before)).decode()})


def delete_documents(session: Session, ids: Sequence[int], reason: str) -> Facts:
    """Count documents, then delete them and the rows that belong to them; waits for people who are deciding them.

    Args:
        reason: request or retention.
    """
    held = locks.hold_documents(session, ids)
    found = facts(session, held)
    session.execute(_COUNT, {"ids": held, "reason": reason})
    for table in HANGING:  # only names from this module
        session.execute(text(f"DELETE FROM {table} WHERE document_id = ANY(:ids)"), {"ids": held})  # noqa: S608
    session.execute(_NOT_PENDING, {"ids": held})
    session.execute(text("DELETE FROM documents WHERE id = ANY(:ids)"), {"ids": held})
    return found


def unswept(session: Session) -> list[Erasure]:
    """Erasures that have not been swept from streams and reports yet, at most 10,000."""
    return [Erasure(*row) for row in session.execute(_UNSWEPT)]


def mark_swept(session: Session, erasures: Sequence[Erasure]) -> None:
    """Note that nothing is left of these erasures, except names that were erased again since."""
    asked = {"hashes": [each.name_hash for each in erasures], "times": [each.erased_at for each in erasures]}
    session.execute(_SWEPT, asked)


def listing(session: Session) -> list[Erasure]:
    """All erasures, the oldest first."""
    return [Erasure(*row) for row in session.execute(_ALL)]


def add(session: Session, erasures: Sequence[Erasure]) -> None:
    """Add erasures from another database; if a name has two, the later one counts."""
    if erasures:
        session.execute(_ADD, [{**each._asdict(), "before": orjson.dumps(each.before).decode()} for each in erasures])


def returned(session: Session) -> list[Name]:
    """Names of documents and dead letters older than their erasure, which a backup brought back."""
    return [(row.source, row.external_id) for row in session.execute(_RETURNED)]


def known(session: Session, names: Sequence[Name]) -> set[Name]:
    """The names among these that have a document or a dead letter."""
    return {(row.source, row.id) for row in session.execute(_KNOWN, _named(names))}


def missing(session: Session, ids: Sequence[int]) -> set[int]:
    """The ids among these that no document has any more."""
    return set(session.scalars(_MISSING, {"ids": list(ids)}))


def lock_reports(session: Session) -> None:
    """Let nobody else rewrite the texts of reports until this transaction ends."""
    locks.hold(session, Lock.REPORTS)


def note(session: Session, actor: str, action: str, detail: Mapping[str, Any]) -> None:
    """Note in the audit log who erased how much and how it was chosen, but never what."""
    session.add(AuditEvent(actor=actor, action=action, subject="documents", detail=dict(detail)))


def _named(names: Sequence[Name]) -> dict[str, list[str]]:
    return {"sources": [name[0] for name in names], "ids": [name[1] for name in names]}
