"""Queries for starters: what one is made of, when one is due, and which of them are kept."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import orjson
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from db.models import ModelVersion
from db.queries import embeddings, model_versions
from db.queries.standing import decides, stands
from db.queries.status import FIRST_TRAINING

LEAST_LABELS = 2
MOST_SEEN = 4_000  # documents without decisions that a starter learns from, the newest
_FIRST_SEEN = 200  # that one learns from before there are vectors
OF_A_LABEL = 8  # decisions that two labels each must have before a first training starts by itself
_KEPT = 2  # starters whose checkpoints stay: the active one, and the one to go back to
_EVERY = 10  # a new starter follows after ten more decisions; from 100 on, after a tenth more

_LABELS = text("""
SELECT labels.id, name, description, coalesce(array_agg(label_examples.text ORDER BY label_examples.id)
  FILTER (WHERE label_examples.id IS NOT NULL), '{}') AS examples
FROM labels LEFT JOIN label_examples ON label_examples.label_id = labels.id
WHERE archived_at IS NULL AND merged_into_id IS NULL GROUP BY labels.id ORDER BY name
""")
_DECISIONS = text(f"""
SELECT count(*) FROM reviews WHERE {decides()} AND action <> 'none_fits' AND {stands()}
""")  # noqa: S608 - of constants alone
_NEWEST = text("SELECT metrics->'starter' FROM model_versions WHERE starter ORDER BY id DESC LIMIT 1")
_NEWEST_ONES = text("SELECT id FROM model_versions WHERE starter ORDER BY id DESC LIMIT :count")
_WAITING = text("SELECT EXISTS (SELECT FROM unpredicted)")
_DECIDED = text(f"""
SELECT labels, decisions FROM (
  SELECT count(*) FILTER (WHERE documents >= :of_a_label) AS labels, coalesce(sum(documents), 0) AS decisions FROM (
    SELECT count(DISTINCT document_id) AS documents FROM reviews
    WHERE {decides()} AND action <> 'none_fits' AND {stands()} GROUP BY label_id) by_label) counted
""")  # noqa: S608 - of constants alone


class Described(NamedTuple):
    """A label that documents can have, with what people wrote of it."""

    id: int
    name: str
    description: str
    examples: Sequence[str]


class Basis(NamedTuple):
    """What a starter is made of: the labels (``sha256`` of what is written of them), and how many decisions."""

    sha256: str
    decisions: int

    def stored(self) -> dict[str, Any]:
        """The same for the version's row."""
        return {"labels": self.sha256, "decisions": self.decisions}


def labels(session: Session) -> list[Described]:
    """The labels in use, by name."""
    return [Described(*row) for row in session.execute(_LABELS)]


def basis(session: Session, found: Sequence[Described]) -> Basis:
    """What a starter of these labels is made of now."""
    written = orjson.dumps([list(each) for each in found])
    return Basis(sha256(written).hexdigest(), int(session.scalar(_DECISIONS) or 0))


def due(session: Session) -> Literal["version", "revision"] | None:
    """What is to be made: a starter, if documents wait for a model or what was written of labels has changed; a
    revision of the active one, if people decided more or took decisions back, or twice as many documents have vectors.

    Nothing is beside a trained version.
    """
    active = model_versions.active(session)
    if (active is not None and not active.starter) or (active is None and not session.scalar(_WAITING)):
        return None
    found = labels(session)
    if len(found) < LEAST_LABELS:
        return None
    before, now = session.scalar(_NEWEST), basis(session, found)
    if active is None or before is None or before.get("labels") != now.sha256:
        return "version"
    known = int(before.get("decisions", 0))
    if now.decisions < known or now.decisions >= known + max(_EVERY, known // _EVERY):
        return "revision"
    return "revision" if _has_seen_more(session, int(before.get("seen") or _FIRST_SEEN)) else None


def _has_seen_more(session: Session, seen: int) -> bool:
    encoder = embeddings.encoder_of_active(session) if seen < MOST_SEEN else None
    return encoder is not None and embeddings.known_ones(session, encoder[0], MOST_SEEN) >= min(2 * seen, MOST_SEEN)


def carries_training(session: Session) -> str | None:
    """Why the decisions carry a first training, in words; None: they don't yet."""
    found = session.execute(_DECIDED, {"of_a_label": OF_A_LABEL}).one()
    if found.labels < LEAST_LABELS or found.decisions < FIRST_TRAINING:
        return None
    return f"{int(found.decisions):,} decisions, which carry a first training"


def superseded(session: Session) -> list[ModelVersion]:
    """Retired starters whose checkpoints are no longer needed; they can't become active again. The caller commits."""
    kept = list(session.scalars(_NEWEST_ONES, {"count": _KEPT}))
    gone = ModelVersion.starter & (ModelVersion.status == "retired") & ModelVersion.id.not_in(kept)
    return list(session.scalars(update(ModelVersion).where(gone).values(status="rejected").returning(ModelVersion)))
