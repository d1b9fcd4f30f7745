"""Predictions by the newest revision of the active starter, which are stored when documents are about to be shown."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.standing import newest_prediction

_NEWEST = text("""
SELECT model_version_id, revision FROM model_heads JOIN model_versions ON model_versions.id = model_version_id
WHERE status = 'active' ORDER BY revision DESC LIMIT 1
""")
_STALE = text(f"""
SELECT asked.id FROM unnest(CAST(:ids AS bigint[])) AS asked (id)
JOIN LATERAL {newest_prediction("asked.id")} said ON true
WHERE (said.model_version_id, coalesce(said.revision, 0)) IS DISTINCT FROM (:version_id, :revision)
AND said.decision = 'review'
""")  # noqa: S608 - of constants alone
# What does not depend on the head stays as the last prediction says; fit, as that version's last one says.
_STORE = text(f"""
INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities, fit, decision,
                         windows, truncated, unknown_share, form, revision)
SELECT row.document_id, :version_id, 'rescore', row.label, row.confidence, row.probabilities, own.fit, 'review',
       said.windows, said.truncated, said.unknown_share, said.form, :revision
FROM json_to_recordset(CAST(:rows AS json)) AS row (
  document_id bigint, label integer, confidence real, probabilities real[])
JOIN documents ON documents.id = row.document_id
JOIN LATERAL {newest_prediction("row.document_id")} said ON true
LEFT JOIN LATERAL {newest_prediction("row.document_id", "fit", "model_version_id = :version_id")} own ON true
ORDER BY row.document_id FOR KEY SHARE OF documents
ON CONFLICT (document_id, model_version_id, kind) DO UPDATE SET label_id = excluded.label_id,
  confidence = excluded.confidence, probabilities = excluded.probabilities, fit = excluded.fit,
  revision = excluded.revision, created_at = excluded.created_at
""")  # noqa: S608 - of constants alone


class Newest(NamedTuple):
    """A model version and its newest revision."""

    version_id: int
    revision: int


def newest(session: Session) -> Newest | None:
    """The active version's newest revision; None: it has none."""
    found = session.execute(_NEWEST).one_or_none()
    return None if found is None else Newest(*found)


def stale(session: Session, newest: Newest, ids: Sequence[int]) -> list[int]:
    """The documents among these that are for review by a newest prediction that is not that revision's."""
    return list(session.scalars(_STALE, {**newest._asdict(), "ids": list(ids)}))


def store(session: Session, newest: Newest, rows: Sequence[dict[str, Any]]) -> None:
    """Store predictions (with the keys of `row`) by that revision. The caller commits."""
    packed = orjson.dumps(list(rows), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    session.execute(_STORE, {**newest._asdict(), "rows": packed})
