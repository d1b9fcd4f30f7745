"""Queries on when a trained version's last layer may learn from what people decided since its training."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.standing import decides, stands

_LEAST = 20  # decisions since the training
_EVERY = 10  # then after ten more; from 100 on, after a tenth more

_ACTIVE = text("""
SELECT model_versions.id, label_ids, training_runs.newest_review_id AS trained_up_to,
  (SELECT (figures->>'newest_review_id')::bigint FROM model_heads WHERE model_version_id = model_versions.id
   ORDER BY revision DESC LIMIT 1) AS learnt_up_to
FROM model_versions JOIN training_runs ON training_runs.model_version_id = model_versions.id
WHERE model_versions.status = 'active' AND NOT starter ORDER BY training_runs.id DESC LIMIT 1
""")
_SINCE = f"""
SELECT count(*) FROM reviews JOIN embeddings USING (document_id)
WHERE reviews.id > :after AND slot = 0 AND label_id = ANY(:label_ids) AND reason NOT IN ('import', 'audit')
AND {decides()} AND {stands()}
"""  # noqa: S608 - of constants alone
_COUNT = text(_SINCE)


class Trained(NamedTuple):
    """An active trained version, and the newest decision when its documents were frozen."""

    version_id: int
    trained_up_to: int


def due(session: Session) -> Trained | None:
    """The active trained version, if enough was decided since its training or its last revision; else None."""
    found = session.execute(_ACTIVE).one_or_none()
    if found is None or found.trained_up_to is None:
        return None
    fresh = _count(session, found.learnt_up_to or found.trained_up_to, found.label_ids)
    if fresh < _EVERY:
        return None
    known = _count(session, found.trained_up_to, found.label_ids) - fresh if found.learnt_up_to else 0
    enough = max(_EVERY, known // _EVERY) if known else _LEAST
    return Trained(found.id, found.trained_up_to) if fresh >= enough else None


def _count(session: Session, after: int, label_ids: list[int]) -> int:
    return int(session.scalar(_COUNT, {"after": after, "label_ids": label_ids}) or 0)
