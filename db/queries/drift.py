"""Queries of the drift checks: bounded samples by ranges of ids, at any number of documents."""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import DriftReference

CHARS = 500  # characters of a text from which words and embedding are taken
_SCAN = 20_000  # ids of a range that are read one by one; from a longer range as many are drawn

_COLUMNS = "document_id, left(text, :chars) AS text, length(text) AS length, label_id, confidence"
_NEWEST = text(f"""
SELECT {_COLUMNS} FROM (
  SELECT id, text FROM documents WHERE id > :after ORDER BY id DESC LIMIT :scan
) documents JOIN predictions ON document_id = documents.id AND model_version_id = :version_id AND kind = 'live'
  AND (form = :form OR form IS NULL)
ORDER BY document_id DESC LIMIT :count
""")  # noqa: S608 - of constants alone
_DRAWN = text(f"""
SELECT {_COLUMNS} FROM (
  SELECT id, text FROM documents WHERE id = ANY(:ids)
) documents JOIN predictions ON document_id = documents.id AND model_version_id = :version_id AND kind = 'live'
  AND (form = :form OR form IS NULL)
ORDER BY document_id DESC
""")  # noqa: S608 - of constants alone
_TEXTS = text("SELECT id, left(text, :chars), length(text) FROM documents WHERE id = ANY(:ids)")
_LARGEST = text("SELECT max(id) FROM documents")
_RECEIVED = text("SELECT received_at FROM documents WHERE id >= :id ORDER BY id LIMIT 1")
_UNDECIDED = text("""
SELECT id FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS asked (id, place)
WHERE NOT EXISTS (SELECT FROM reviews WHERE document_id = asked.id) ORDER BY place
""")
_SHOWN = text("""
SELECT documents.id, source, external_id, left(text, :chars) AS text
FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS asked (id, place) JOIN documents ON documents.id = asked.id
ORDER BY place
""")
_WAITING = text("SELECT count(*) FROM queue_items WHERE document_id = ANY(:ids)")


class Answered(NamedTuple):
    """A document and its prediction; ``text``: the beginning of its text; ``length``: that of the whole text."""

    document_id: int
    text: str
    length: int
    label_id: int
    confidence: float


class Shown(NamedTuple):
    """A document in the evidence of an incident."""

    document_id: int
    source: str
    external_id: str
    text: str


def freeze(
    session: Session,
    version_id: int,
    form: str,
    training_ids: Sequence[int],
    document_ids: Sequence[int],
    label_ids: Sequence[int],
    confidences: Sequence[float],
) -> None:
    """Store the predictions of a version's form for held-out documents, and the documents that it was trained on."""
    session.merge(
        DriftReference(
            model_version_id=version_id, form=form, training_ids=list(training_ids), document_ids=list(document_ids),
            label_ids=list(label_ids), confidences=list(confidences),
        )
    )  # fmt: skip


def frozen(session: Session, version_id: int, form: str) -> tuple[list[str], list[Answered]]:
    """Beginnings of training texts, and predictions for held-out documents; erased documents are missing."""
    row = session.get(DriftReference, (version_id, form))
    if row is None:
        return [], []
    held_out = zip(row.document_ids, row.label_ids, row.confidences, strict=True)
    found = _texts(session, [*row.training_ids, *row.document_ids])
    training = [found[id_][0] for id_ in row.training_ids if id_ in found]
    return training, [
        Answered(id_, *found[id_], label_id, confidence) for id_, label_id, confidence in held_out if id_ in found
    ]


def newest(session: Session, version_id: int, form: str, count: int, after: int = 0) -> list[Answered]:
    """Predictions of a version's form for the newest documents with ids over ``after``, of the last 20,000."""
    asked = {"version_id": version_id, "form": form, "count": count, "after": after, "scan": _SCAN, "chars": CHARS}
    return [Answered(*row) for row in session.execute(_NEWEST, asked)]


def drawn(session: Session, version_id: int, form: str, first: int, last: int, count: int, seed: int) -> list[Answered]:
    """A random sample of predictions of a version's form for documents with ids ``first`` to ``last``, newest first."""
    draw = random.Random(seed)  # noqa: S311 - a sample, no secret
    ids = range(first, max(first, last + 1))
    chosen = list(ids) if len(ids) <= _SCAN else draw.sample(ids, _SCAN)
    found = _answered(session, version_id, form, draw.sample(chosen, min(len(chosen), 2 * count)))
    if len(found) < count < len(chosen):  # many ids have no prediction by this version
        found = _answered(session, version_id, form, chosen)
    kept = draw.sample(found, min(count, len(found)))
    return sorted(kept, key=lambda each: -each.document_id)


def newest_id(session: Session) -> int:
    """The greatest id of a document; 0: there are no documents."""
    return int(session.scalar(_LARGEST) or 0)


def first_since(session: Session, when: datetime) -> int:
    """The first id whose document was received at ``when`` or later, found by bisection, as ids rise with time."""
    low, high = 1, newest_id(session) + 1
    while low < high:
        middle = (low + high) // 2
        received = session.scalar(_RECEIVED, {"id": middle})
        if received is not None and received < when:
            low = middle + 1
        else:
            high = middle
    return low


def undecided(session: Session, ids: Sequence[int]) -> list[int]:
    """The documents among these that nobody has decided, in the same order."""
    return list(session.scalars(_UNDECIDED, {"ids": list(ids)}))


def shown(session: Session, ids: Sequence[int]) -> list[Shown]:
    """Documents for the page of incidents, in the order of the ids; erased documents are missing."""
    return [Shown(*row) for row in session.execute(_SHOWN, {"ids": list(ids), "chars": CHARS})]


def still_waiting(session: Session, ids: Sequence[int]) -> int:
    """The number of these documents that wait for a person."""
    return int(session.scalar(_WAITING, {"ids": list(ids)}) or 0)


def _answered(session: Session, version_id: int, form: str, ids: Sequence[int]) -> list[Answered]:
    asked = {"ids": list(ids), "version_id": version_id, "form": form, "chars": CHARS}
    return [Answered(*row) for row in session.execute(_DRAWN, asked)]


def _texts(session: Session, ids: Sequence[int]) -> dict[int, tuple[str, int]]:
    rows = session.execute(_TEXTS, {"ids": list(ids), "chars": CHARS})
    return {row[0]: (row[1], row[2]) for row in rows}
