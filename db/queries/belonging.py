"""What may belong to a label that the model does not know yet: documents that are more like its own than like others.

Compared are the vectors that are kept. A label's **own** documents are those decided as it. **Others** are documents
that people decided as another label, or as "none fits" once this label had its first decision, and what the model
accepts by itself. A document **may belong** to the label if it is more like its three nearest own ones than like its
three nearest others. Asked are documents that nobody decided, accepted ones among them, and what was decided
"none fits" before the label was there. What waits for an independent decision (`document_search.BLIND`) is left out.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.queries import embeddings
from db.queries.document_search import BLIND
from db.queries.standing import is_newest_text, newest_prediction, standing_decision
from db.vector_array import Matrix

STAYING, PASSING = 10_000, 5_000  # the newest vectors of what waits or was decided, and of the newest documents
_OWN = 1_000  # documents of the label, the newest
_NEAREST = 3
_LIKEST = 1_000  # documents that are compared with others
_AT_ONCE = 250
_LABELS = 3  # the newest, to which a topic is compared
_MOSTLY = 0.6  # of a topic's documents
_LEAST = 1e-9

_UNKNOWN = text("""
SELECT id FROM labels WHERE archived_at IS NULL AND EXISTS (SELECT FROM reviews WHERE label_id = labels.id)
AND id <> ALL((SELECT label_ids FROM model_versions WHERE status = 'active')::integer[]) ORDER BY id DESC LIMIT :limit
""")
_IS_UNKNOWN = text("""
SELECT EXISTS (SELECT FROM model_versions WHERE status = 'active' AND :label_id <> ALL(label_ids))
""")
_GIVEN = text("""
SELECT document_id FROM (
  SELECT DISTINCT document_id FROM reviews JOIN labels ON labels.id = label_id
  WHERE labels.id = ANY(:label_ids) OR merged_into_id = ANY(:label_ids)) given
ORDER BY document_id DESC LIMIT :limit
""")
_STATES = text(f"""
SELECT d.id, waits.reason, standing.action, standing.created_at, coalesce(given.merged_into_id, given.id) AS label_id,
  said.decision
FROM unnest(CAST(:ids AS bigint[])) AS asked (id) JOIN documents d ON d.id = asked.id
LEFT JOIN queue_items waits ON waits.document_id = d.id
LEFT JOIN LATERAL {standing_decision("d.id", "reviews.action, reviews.label_id, reviews.created_at")} standing ON true
LEFT JOIN labels given ON given.id = standing.label_id
LEFT JOIN LATERAL {newest_prediction("d.id", "predictions.decision")} said ON true
WHERE {is_newest_text("d")}
""")  # noqa: S608 - of constants alone


class MayBelong(NamedTuple):
    """A document, its mean cosine with the nearest own ones, and with the nearest others; None: there are too few."""

    id: int
    likeness: float
    elsewhere: float | None

    @property
    def margin(self) -> float:
        """How much more it is like its own; under 0 where nothing can be told for want of others."""
        return self.likeness - (1.0 if self.elsewhere is None else self.elsewhere)


class Found(NamedTuple):
    """Documents by margin, the greatest first; ``own``: how many documents of the label they were compared with.

    ``may_belong``: how many have a margin above zero.
    """

    documents: list[MayBelong]
    own: int
    may_belong: int


class _Known(NamedTuple):
    """What can be compared: states of documents, and their vectors (n, d), each of length 1, in the same order."""

    rows: list[Row[Any]]
    units: Matrix


def unknown_labels(session: Session, limit: int) -> list[int]:
    """Ids of labels in use that have decisions, and that the active version does not know, the newest first.

    Without an active version there are none: nothing has made vectors.
    """
    return list(session.scalars(_UNKNOWN, {"limit": limit}))


def is_unknown(session: Session, label_id: int) -> bool:
    """Whether there is an active version, and it does not know the label."""
    return bool(session.scalar(_IS_UNKNOWN, {"label_id": label_id}))


def may_belong(session: Session, label_id: int) -> Found:
    """What may belong to a label, of what was not decided as it."""
    return _of_label(_known(session, [label_id]), label_id)


def likest_label(session: Session, ids: Sequence[int]) -> tuple[int, int] | None:
    """Of the labels that the model does not know, the one to which most of these documents may belong, and how many.

    None: fewer than three fifths of them may belong to any one label.
    """
    label_ids, wanted = unknown_labels(session, _LABELS), set(ids)
    known = _known(session, label_ids)
    counts = [
        (sum(each.margin > 0 and each.id in wanted for each in _of_label(known, label_id).documents), label_id)
        for label_id in label_ids
    ]
    most, label_id = max(counts, default=(0, 0))
    return (label_id, most) if most >= max(1, _MOSTLY * len(wanted)) else None


def _of_label(known: _Known, label_id: int) -> Found:
    own, others, asked = _parted(known.rows, label_id)
    if not own or not asked:
        return Found([], len(own), 0)
    likeness = _nearest(known.units, asked, own)
    likest = np.argsort(-likeness, kind="stable")[:_LIKEST]
    places = [asked[n] for n in likest]
    elsewhere = _nearest(known.units, places, others).tolist() if len(others) >= _NEAREST else [None] * len(places)
    documents = [
        MayBelong(known.rows[place].id, min(1.0, float(likeness[n])), other)
        for n, place, other in zip(likest, places, elsewhere, strict=True)
    ]
    documents.sort(key=lambda each: -each.margin)
    return Found(documents, len(own), sum(each.margin > 0 for each in documents))


def _known(session: Session, label_ids: Sequence[int]) -> _Known:
    encoder = embeddings.encoder_of_active(session)
    if encoder is None or not label_ids:
        return _Known([], np.empty((0, 0), np.float32))
    ids = set(session.scalars(_GIVEN, {"label_ids": list(label_ids), "limit": _OWN * len(label_ids)}))
    ids |= set(embeddings.newest_staying(session, encoder[0], STAYING))
    ids |= set(embeddings.newest_documents(session, encoder[0], PASSING))
    found = embeddings.of_documents(session, *encoder, sorted(ids))
    places = {id_: place for place, id_ in enumerate(found.ids)}
    lengths = np.linalg.norm(found.vectors, axis=1, keepdims=True)
    units = np.asarray(found.vectors / np.maximum(lengths, _LEAST), np.float32)
    rows = [row for row in session.execute(_STATES, {"ids": found.ids}) if lengths[places[row.id], 0] > _LEAST]
    return _Known(rows, units[[places[row.id] for row in rows]])


def _parted(rows: Sequence[Row[Any]], label_id: int) -> tuple[list[int], list[int], list[int]]:
    """Places of the label's own documents, of others, and of those that are asked for; what is accepted is in two."""
    own = [place for place, row in enumerate(rows) if row.label_id == label_id]
    first: datetime | None = min((rows[place].created_at for place in own), default=None)
    others, asked = [], []
    for place, row in enumerate(rows):
        if row.label_id == label_id:
            continue
        accepted = row.action is None and row.reason is None and row.decision == "accept"
        early = row.action == "none_fits" and first is not None and row.created_at < first
        if accepted or (row.action is not None and not early):
            others.append(place)
        if row.reason not in BLIND and (early or accepted or (row.action is None and row.reason is not None)):
            asked.append(place)
    return own, others, asked


def _nearest(units: Matrix, asked: list[int], among: list[int]) -> NDArray[np.float32]:
    """The mean cosine (n,) of each of the asked with its nearest ones, itself left out."""
    found = np.empty(len(asked), np.float32)
    there = {place: column for column, place in enumerate(among)}
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        cosines = units[part] @ units[among].T
        for row, place in enumerate(part):
            if place in there:
                cosines[row, there[place]] = -1
        count = min(_NEAREST, cosines.shape[1])
        found[start : start + _AT_ONCE] = np.partition(cosines, -count, axis=1)[:, -count:].mean(axis=1)
    return found
