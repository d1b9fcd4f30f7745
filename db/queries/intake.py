"""Store a micro-batch: documents, predictions and queue items, in set-based statements that can be repeated.

Without an active model version, documents are stored without predictions; `first_predictions` makes up for them.

The rows are sent as one array of a row type in binary form (`db.incoming_documents`), the probabilities beside it as
another, and each row names its part of that (docs/decisions/0002-intake.md).

The planner does not treat `IN (...) IS TRUE` as a join, so it uses a hash table. As a join, it would compare each
document with each prediction, because Postgres expects the list to give one row, however long it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db import locks
from db.incoming_documents import IncomingDocuments
from db.locks import Lock
from db.queries import embeddings, erasure
from db.queries.doubts import DOUBTS, doubt, doubt_score
from db.queries.standing import NEWEST_PREDICTION_FIRST
from db.real_array import RealArray
from db.vector_array import VectorArray

_STORED_HERE = """
stored AS (
  INSERT INTO documents (source, external_id, content_hash, text, repaired, meta, lane, entry_id)
  SELECT source, id, hash, text, repaired, meta, lane, entry_id FROM incoming
  WHERE NOT erased
  ON CONFLICT (source, external_id, content_hash) DO UPDATE SET entry_id = CASE
    WHEN documents.entry_id IS NULL OR entry_order(documents.entry_id) < entry_order(excluded.entry_id)
    THEN excluded.entry_id ELSE documents.entry_id END
  RETURNING documents.id, source, external_id, content_hash, (xmax = 0) AS fresh
), matched AS (
  SELECT stored.id AS document_id, fresh, incoming.* FROM stored JOIN incoming
  ON incoming.source = stored.source AND incoming.id = external_id AND hash = content_hash
)"""
_STORED_BEFORE = """
SELECT document_id, source, id, encode(hash, 'hex') AS hash FROM matched WHERE NOT fresh
UNION ALL SELECT NULL, source, id, encode(hash, 'hex') FROM incoming WHERE erased
"""
# OFFSET 0: each document is looked up by an index. As a join, Postgres would read all predictions while it takes their
# table for a small one.
_NO_PREDICTION = """NOT EXISTS (SELECT FROM predictions known
    WHERE known.document_id = matched.document_id AND known.kind = 'live' OFFSET 0)"""
# Ids are given in order and never twice, so no more than so many documents have one up to that number, whichever worker
# stores them, and nothing need be counted. A repeated or failed insert uses ids up, which only makes the first fewer.
_SHARE = "CAST(CASE WHEN document_id <= :first_documents THEN :first_share ELSE :later_share END AS real)"
_PREDICT = """
INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities,
                         fit, decision, windows, truncated, unknown_share, form, revision)
SELECT document_id, version, 'live', label, confidence,
       (CAST(:probabilities AS real[]))[first + 1 : first + labels], fit, decision, windows, truncated,
       unknown_share, form, revision
FROM matched"""
# A document that waits for its first prediction gets it from `first_predictions`, which also sends its event. A new one
# has no prediction yet, so that none is looked for: that is what ON CONFLICT would cost.
_STORE = text(f"""
WITH incoming AS MATERIALIZED (
  SELECT lane, form, source, id, hash, text, entry_id, meta, version,
    nullif(revision, 0) AS revision, label, confidence, nullif(fit, 'NaN') AS fit, margin, first, labels,
    CASE WHEN accepted THEN 'accept' ELSE 'review' END AS decision, repaired, truncated, windows,
    nullif(unknown_share, 'NaN') AS unknown_share, encoder, vector, chance, {erasure.is_erased("row")} AS erased
  FROM unnest(CAST(:rows AS incoming_document[])) AS row
), {_STORED_HERE}, predicted AS (
  {_PREDICT} WHERE fresh
), made_up AS (
  {_PREDICT} WHERE NOT fresh AND {_NO_PREDICTION} AND NOT EXISTS (
    SELECT FROM unpredicted WHERE unpredicted.document_id = matched.document_id OFFSET 0)
  ON CONFLICT DO NOTHING RETURNING document_id
), draw AS MATERIALIZED (
  SELECT *, chance < share AS drawn FROM (
    SELECT document_id, fresh, version, label, decision, fit, margin, encoder, vector, chance, {_SHARE} AS share
    FROM matched WHERE fresh OR (document_id IN (SELECT document_id FROM made_up)) IS TRUE) AS entering
), embedded AS (
  INSERT INTO embeddings (document_id, slot, encoder_id, vector)
  SELECT document_id, {embeddings.slot("drawn OR decision = 'review'")}, encoder, given.vector
  FROM draw JOIN unnest(CAST(:vectors AS embedding[])) WITH ORDINALITY AS given (vector, place)
  ON given.place = draw.vector WHERE drawn OR decision = 'review' OR :newest > 0
  ON CONFLICT DO NOTHING
), waiting AS (
  INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id, sampling_probability)
  SELECT document_id, CASE WHEN drawn THEN 'audit' ELSE {doubt("fit")} END,
         CASE WHEN drawn THEN random() ELSE {doubt_score("fit", "margin")} END, version, label,
         CASE WHEN drawn THEN share END
  FROM draw
  WHERE (drawn OR decision = 'review') AND (fresh OR NOT EXISTS (
    SELECT FROM reviews WHERE reviews.document_id = draw.document_id))
  ON CONFLICT (document_id) DO UPDATE SET reason = excluded.reason, score = excluded.score,
    model_version_id = excluded.model_version_id, label_id = excluded.label_id
  WHERE queue_items.reason = 'unpredicted' AND excluded.reason IN {DOUBTS}
) {_STORED_BEFORE}
""")  # noqa: S608 - of constants alone
# The desk gives these in random order, so that those decided so far are a fair sample of what arrived.
_STORE_UNPREDICTED = text(f"""
WITH incoming AS MATERIALIZED (
  SELECT source, id, decode(hash, 'hex') AS hash, text, repaired, meta, lane,
    entry_id, {erasure.is_erased("row")} AS erased
  FROM json_to_recordset(CAST(:rows AS json)) AS row (
    source text, id text, hash text, text text, repaired boolean, meta jsonb, lane text, entry_id text)
), {_STORED_HERE}, noted AS (
  INSERT INTO unpredicted (document_id) SELECT document_id FROM matched WHERE fresh OR {_NO_PREDICTION}
  ON CONFLICT DO NOTHING RETURNING document_id
), waiting AS (
  INSERT INTO queue_items (document_id, reason, score, sampling_probability)
  SELECT document_id, CASE WHEN drawn THEN 'audit' ELSE 'unpredicted' END, random(),
         CASE WHEN drawn THEN share END
  FROM (SELECT *, random() < share AS drawn FROM (
    SELECT *, {_SHARE} AS share FROM matched
    WHERE (document_id IN (SELECT document_id FROM noted)) IS TRUE) AS entering) AS draw
  WHERE fresh OR NOT EXISTS (SELECT FROM reviews WHERE reviews.document_id = draw.document_id)
  ON CONFLICT DO NOTHING
) {_STORED_BEFORE}
""")  # noqa: S608 - of constants alone
_ARE_MORE = text("SELECT coalesce(max(id), 0) > :count FROM documents")
_HAS_ACTIVE = text("SELECT EXISTS (SELECT FROM model_versions WHERE status = 'active')")

_STORED = text(f"""
SELECT DISTINCT ON (document_id) document_id, name, confidence, decision, fit, model_version_id,
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


class AuditShares(NamedTuple):
    """The probability with which a document is drawn for an audit, which is stored with it.

    ``later``: of a document; ``first``: of the first ``documents`` of an installation, if that is more.
    """

    later: float
    first: float = 0.0
    documents: int = 0

    def given(self) -> dict[str, Any]:
        """The same as a statement's parameters."""
        return {
            "later_share": self.later, "first_share": max(self.first, self.later), "first_documents": self.documents,
        }  # fmt: skip


class StoredPrediction(NamedTuple):
    """The live prediction of a document that was stored earlier."""

    label: str
    confidence: float
    decision: str
    fit: float | None
    model_version_id: int
    form: str


Key = tuple[str, str, str]


def store_batch(
    session: Session,
    rows: IncomingDocuments,
    probabilities: NDArray[np.float32],
    audits: AuditShares,
    vectors: VectorArray = VectorArray(()),  # noqa: B008 - it never changes
    newest: int = 0,
) -> dict[Key, StoredPrediction | None]:
    """Insert documents, predictions, and queue items for documents to review or audit.

    A row's probabilities are the ``labels`` values from index ``first`` on, and its vector, if it has one, is that at
    the place ``vector``, from 1 on. Rows must differ in (source, id, hash).

    A document that is stored already keeps its prediction. Each document that is stored for the first time enters the
    draw for audits. Audits are decided in random order, so those decided so far are a fair sample too. Documents that
    were erased after they were sent are not stored. One that waits for its first prediction still does.

    Args:
        probabilities: those of all rows, one after another, (n,).
        audits: how likely documents are drawn for audits.
        vectors: those of the rows.
        newest: about how many vectors are kept of documents that neither wait nor were decided; 0: none.

    Returns:
        The earlier predictions of documents that were stored already, by (source, id, hash); None: it was erased, or
        its first prediction is still to be made.
    """
    erasure.shut_out(session)
    given = {
        "rows": rows, "probabilities": RealArray(probabilities), "vectors": vectors, "newest": newest,
        **audits.given(),
    }  # fmt: skip
    return _predicted_before(session, session.execute(_STORE, given).all())


def store_unpredicted(session: Session, rows: str, audits: AuditShares) -> dict[Key, StoredPrediction | None] | None:
    """Insert documents without predictions, with a queue item for each; they are predicted once a version is active.

    No version becomes active until the transaction ends. ``rows`` is a JSON list of objects with the keys of
    `incoming`. Otherwise it is like `store_batch`: each document enters the draw for audits when it is first stored,
    and one that has a prediction keeps it.

    Returns:
        As `store_batch`; None: a version is active, so nothing was stored.
    """
    erasure.shut_out(session)
    locks.share(session, Lock.PROMOTION)
    if session.scalar(_HAS_ACTIVE):
        return None
    given = {"rows": rows, **audits.given()}
    return _predicted_before(session, session.execute(_STORE_UNPREDICTED, given).all())


def are_more(session: Session, count: int) -> bool:
    """Whether ids of documents have gone beyond ``count``, so that no later document is among the first ``count``."""
    return bool(session.scalar(_ARE_MORE, {"count": count}))


def _predicted_before(session: Session, known: Sequence[Row[Any]]) -> dict[Key, StoredPrediction | None]:
    """The live predictions of documents that were stored before; None: a document has none, or was erased."""
    if not known:
        return {}
    ids = [row.document_id for row in known if row.document_id is not None]
    found: dict[int | None, StoredPrediction | None] = {
        row.document_id: StoredPrediction(*row[1:]) for row in session.execute(_STORED, {"ids": ids})
    }
    return {(row.source, row.id, row.hash): found.get(row.document_id) for row in known}


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
