"""Store a micro-batch: documents, predictions and queue items, in set-based statements that can be repeated.

The rows are sent as one JSON text. Postgres takes 22 µs per document to unpack it and do both inserts; binding arrays
one by one would take 21 µs per document in Python alone. The probabilities are sent beside it as one array, and each
row names its part of it (docs/decisions/0002-intake.md).

The planner does not treat `IN (...) IS TRUE` as a join, so it uses a hash table. As a join, it would compare each
document with each prediction, because Postgres expects the list to give one row, however long it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import erasure
from db.queries.standing import NEWEST_PREDICTION_FIRST
from db.real_array import RealArray

_STORE = text(f"""
WITH incoming AS MATERIALIZED (
  SELECT *, {erasure.is_erased("row")} AS erased FROM json_to_recordset(CAST(:rows AS json)) AS row (
    source text, id text, hash text, text text, repaired boolean, meta jsonb, lane text, entry_id text,
    version integer, form text, label integer, confidence real, first integer, labels integer, decision text,
    windows smallint, truncated boolean, unknown_share real, margin real)
), stored AS (
  INSERT INTO documents (source, external_id, content_hash, text, repaired, meta, lane, entry_id)
  SELECT source, id, decode(hash, 'hex'), text, repaired, meta, lane, entry_id FROM incoming
  WHERE NOT erased
  ON CONFLICT (source, external_id, content_hash) DO UPDATE SET entry_id = CASE
    WHEN documents.entry_id IS NULL OR entry_order(documents.entry_id) < entry_order(excluded.entry_id)
    THEN excluded.entry_id ELSE documents.entry_id END
  RETURNING documents.id, source, external_id, content_hash, (xmax = 0) AS fresh
), matched AS (
  SELECT stored.id AS document_id, fresh, incoming.* FROM stored JOIN incoming
  ON incoming.source = stored.source AND incoming.id = external_id AND hash = encode(content_hash, 'hex')
), predicted AS (
  INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities,
                           decision, windows, truncated, unknown_share, form)
  SELECT document_id, version, 'live', label, confidence,
         (CAST(:probabilities AS real[]))[first + 1 : first + labels], decision, windows, truncated,
         unknown_share, form
  FROM matched WHERE fresh OR NOT EXISTS (
    SELECT FROM predictions known WHERE known.document_id = matched.document_id AND known.kind = 'live')
  ON CONFLICT DO NOTHING RETURNING document_id
), waiting AS (
  INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id, sampling_probability)
  SELECT document_id, CASE WHEN drawn THEN 'audit' ELSE 'doubtful' END,
         CASE WHEN drawn THEN random() ELSE margin END, version, label,
         CASE WHEN drawn THEN CAST(:audit_share AS real) END
  FROM (SELECT *, random() < :audit_share AS drawn FROM matched
        WHERE (document_id IN (SELECT document_id FROM predicted)) IS TRUE) AS draw
  WHERE (drawn OR decision = 'review') AND (fresh OR NOT EXISTS (
    SELECT FROM reviews WHERE reviews.document_id = draw.document_id))
  ON CONFLICT DO NOTHING
)
SELECT document_id, source, id, hash FROM matched WHERE NOT fresh
UNION ALL SELECT NULL, source, id, hash FROM incoming WHERE erased
""")  # noqa: S608 - of constants alone

_STORED = text(f"""
SELECT DISTINCT ON (document_id) document_id, name, confidence, decision, model_version_id,
  coalesce(form, '') AS form
FROM predictions JOIN labels ON labels.id = label_id
WHERE document_id = ANY(:ids) AND kind = 'live' ORDER BY document_id, {NEWEST_PREDICTION_FIRST}
""")  # noqa: S608 - of constants alone

_DEAD = text("""
INSERT INTO dead_letters (lane, entry_id, source, external_id, reason, detail, raw, attempts)
VALUES (:lane, :entry_id, :source, :external_id, :reason, :detail, :raw, :attempts)
ON CONFLICT (lane, entry_id) DO NOTHING
""")
_ERASED = text(f"""
SELECT lane, entry_id FROM json_to_recordset(CAST(:rows AS json)) AS row (
  source text, id text, lane text, entry_id text) WHERE {erasure.is_erased("row")}
""")  # noqa: S608 - of constants alone


class StoredPrediction(NamedTuple):
    """The live prediction of a document that was stored earlier."""

    label: str
    confidence: float
    decision: str
    model_version_id: int
    form: str


Key = tuple[str, str, str]


def store_batch(
    session: Session, rows: str, probabilities: NDArray[np.float32], audit_share: float
) -> dict[Key, StoredPrediction | None]:
    """Insert documents, predictions, and queue items for documents to review or audit.

    ``rows`` is a JSON list of objects with the keys of `incoming`. A row's probabilities are the ``labels`` values from
    index ``first`` on. Rows must differ in (source, id, hash).

    A document that is stored already keeps its prediction. Each document that is stored for the first time enters the
    draw for audits. Audits are decided in random order, so those decided so far are a fair sample too. Documents that
    were erased after they were sent are not stored.

    Args:
        probabilities: those of all rows, one after another, (n,).
        audit_share: the probability of drawing a document for an audit, which is stored with it.

    Returns:
        The earlier predictions of documents that were stored already, by (source, id, hash); None: it was erased.
    """
    erasure.shut_out(session)
    given = {"rows": rows, "probabilities": RealArray(probabilities), "audit_share": audit_share}
    known = session.execute(_STORE, given).all()
    if not known:
        return {}
    ids = [row.document_id for row in known if row.document_id is not None]
    found: dict[int | None, StoredPrediction | None] = {None: None}
    found |= {row.document_id: StoredPrediction(*row[1:]) for row in session.execute(_STORED, {"ids": ids})}
    return {(row.source, row.id, row.hash): found[row.document_id] for row in known if row.document_id in found}


def bury(session: Session, letters: Sequence[dict[str, Any]]) -> set[tuple[str, str]]:
    """Insert dead letters; those that exist already stay as they are.

    Returns:
        Lane and entry id of those that are not stored, because they were erased after they were sent.
    """
    erasure.shut_out(session)
    rows = [{"id": each["external_id"], **{name: each[name] for name in ("source", "lane", "entry_id")}}
            for each in letters]  # fmt: skip
    erased = {(row.lane, row.entry_id) for row in session.execute(_ERASED, {"rows": orjson.dumps(rows).decode()})}
    kept = [each for each in letters if (each["lane"], each["entry_id"]) not in erased]
    if kept:
        session.execute(_DEAD, kept)
    return erased
