"""Queries on heads: revisions of a model version, fitted on vectors of what people decided since it was made."""

from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

_KEPT = 3  # newest revisions whose weights stay; of the others the figures do

_NEWEST = text("""
SELECT revision, encoder_id, weights, temperature, figures, width FROM model_heads
JOIN encoders ON encoders.id = encoder_id
WHERE model_version_id = :version_id ORDER BY revision DESC LIMIT 1
""")
_WEIGHTS = text("""
SELECT weights, width FROM model_heads JOIN encoders ON encoders.id = encoder_id
WHERE model_version_id = :version_id AND revision = :revision AND weights IS NOT NULL
""")
_NUMBER = text("SELECT max(revision) FROM model_heads WHERE model_version_id = :version_id")
_ADD = text("""
INSERT INTO model_heads (model_version_id, revision, encoder_id, weights, temperature, figures)
SELECT :version_id, coalesce(max(revision), 0) + 1, :encoder_id, :weights, :temperature, CAST(:figures AS jsonb)
FROM model_heads WHERE model_version_id = :version_id RETURNING revision
""")
_FORGET = text("""
UPDATE model_heads SET weights = NULL
WHERE model_version_id = :version_id AND revision <= :revision - :kept AND weights IS NOT NULL
""")
# The version's row says what its newest revision is made of, for all who show it.
_NOTE = text("""
UPDATE model_versions SET metrics = jsonb_set(metrics, '{starter}', CAST(:figures AS jsonb) || jsonb_build_object(
  'revision', CAST(:revision AS integer))) WHERE id = :version_id
""")
_MORE = text("""
UPDATE model_heads SET figures = figures || CAST(:more AS jsonb)
WHERE model_version_id = :version_id AND revision = :revision
""")
_HOLD_ACTIVE = text("SELECT id FROM model_versions WHERE id = :version_id AND status = 'active' FOR UPDATE")


class Revision(NamedTuple):
    """A head of a model version.

    ``weights``: (labels, d + 1), the biases last; ``figures``: what it was fitted on, and how often it was right.
    """

    revision: int
    encoder_id: int
    weights: NDArray[np.float32]
    temperature: float
    figures: dict[str, Any]


def newest(session: Session, version_id: int) -> Revision | None:
    """The newest revision of a model version; None: it has only the head of its checkpoint."""
    found = session.execute(_NEWEST, {"version_id": version_id}).one_or_none()
    if found is None:
        return None
    weights = _unpacked(found.weights, found.width)
    return Revision(found.revision, found.encoder_id, weights, found.temperature, found.figures)


def weights(session: Session, version_id: int, revision: int) -> NDArray[np.float32] | None:
    """The weights of one revision, (labels, d + 1), with the biases last; None if they have been deleted."""
    found = session.execute(_WEIGHTS, {"version_id": version_id, "revision": revision}).one_or_none()
    return None if found is None else _unpacked(found.weights, found.width)


def newest_number(session: Session, version_id: int) -> int:
    """The number of the newest revision; 0: there is none."""
    return int(session.scalar(_NUMBER, {"version_id": version_id}) or 0)


def add(
    session: Session,
    version_id: int,
    encoder_id: int,
    weights: NDArray[np.float32],
    temperature: float,
    figures: dict[str, Any] | None,
    more: dict[str, Any],
) -> int | None:
    """Add a revision of the active version, and let go of old ones' weights. The caller commits.

    Args:
        weights: (labels, d + 1), the biases last.
        figures: what the version's row says of it, if it is a starter; ``more`` is kept with the revision alone.

    Returns:
        Its number; None if the version has stopped being the active one.
    """
    if session.scalar(_HOLD_ACTIVE, {"version_id": version_id}) is None:
        return None
    noted = orjson.dumps({**(figures or {}), **more}).decode()
    number = session.scalar(_ADD, {
        "version_id": version_id, "encoder_id": encoder_id, "weights": weights.astype("<f4").tobytes(),
        "temperature": temperature, "figures": noted,
    })  # fmt: skip
    if figures is not None:
        said = orjson.dumps(figures).decode()
        session.execute(_NOTE, {"version_id": version_id, "figures": said, "revision": number})
    session.execute(_FORGET, {"version_id": version_id, "revision": number, "kept": _KEPT})
    return int(number)


def note(session: Session, version_id: int, revision: int, more: dict[str, Any]) -> None:
    """Add figures to those of a revision. The caller commits."""
    session.execute(_MORE, {"version_id": version_id, "revision": revision, "more": orjson.dumps(more).decode()})


def _unpacked(weights: bytes, width: int) -> NDArray[np.float32]:
    return np.frombuffer(weights, "<f4").reshape(-1, width + 1).astype(np.float32)
