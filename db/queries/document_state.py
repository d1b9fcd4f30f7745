"""The state of single documents."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.queries.standing import NEWEST_REVIEW_FIRST, NEWEST_TEXT_FIRST, decides, newest_prediction, stands

# The newest text that was sent; if none was, the newest one that was imported.
_NEWEST = text(f"""
SELECT documents.id, entry_id, labels.name AS label, confidence, decision, fit, model_version_id, unknown_share
FROM documents LEFT JOIN LATERAL {newest_prediction("documents.id")} newest ON true
LEFT JOIN labels ON labels.id = label_id
WHERE source = :source AND external_id = :id ORDER BY {NEWEST_TEXT_FIRST} LIMIT 1
""")  # noqa: S608 - of constants alone
_REVIEWED = text(f"""
SELECT DISTINCT ON (document_id) document_id, action, labels.name AS label, users.name AS reviewer, reviews.created_at
FROM reviews LEFT JOIN labels given ON given.id = label_id
LEFT JOIN labels ON labels.id = coalesce(given.merged_into_id, given.id) JOIN users ON users.id = reviewer_id
WHERE document_id = ANY(:ids) AND {decides()} AND {stands()} ORDER BY document_id, {NEWEST_REVIEW_FIRST}
""")  # noqa: S608 - of constants alone
_DEAD = text("""
SELECT entry_order(entry_id) > coalesce(entry_order(:entry_id), '{}') AS newest,
  entry_order(entry_id) = entry_order(:entry_id) AS same, reason
FROM dead_letters WHERE source = :source AND external_id = :id AND requeued_at IS NULL
ORDER BY entry_order(entry_id) DESC LIMIT 1
""")
_IMPORTED = text(f"""
SELECT id FROM documents WHERE source = :source AND external_id = :id ORDER BY {NEWEST_TEXT_FIRST} LIMIT 1
""")  # noqa: S608 - of constants alone
# Without a prediction, this very entry must have been stored: the text may be there from an earlier import.
_SENT = text(f"""
SELECT n, documents.id, documents.entry_id, labels.name AS label, confidence, decision, fit, model_version_id,
  unknown_share
FROM json_to_recordset(CAST(:rows AS json)) AS sent (n integer, source text, id text, hash text, entry_id text)
JOIN documents ON documents.source = sent.source AND external_id = sent.id AND content_hash = decode(hash, 'hex')
LEFT JOIN LATERAL {newest_prediction("documents.id")} newest ON true
LEFT JOIN labels ON labels.id = label_id
WHERE label_id IS NOT NULL OR entry_order(documents.entry_id) >= entry_order(sent.entry_id)
""")  # noqa: S608 - of constants alone
_SENT_DEAD = text("""
SELECT n, reason FROM json_to_recordset(CAST(:rows AS json)) AS sent (n integer, lane text, entry_id text)
JOIN dead_letters ON dead_letters.lane = sent.lane AND dead_letters.entry_id = sent.entry_id
""")
_KNOWN = text("""
SELECT source, external_id FROM documents JOIN unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS asked (s, i)
ON source = s AND external_id = i
UNION
SELECT source, external_id FROM dead_letters JOIN unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS asked (s, i)
ON source = s AND external_id = i AND requeued_at IS NULL
""")


class Sent(NamedTuple):
    """A document as it was sent; the hash is that of its text, in hexadecimal."""

    source: str
    id: str
    hash: str
    lane: str
    entry_id: str


class DocumentState(NamedTuple):
    """State of a document: stored (not predicted yet), classified, reviewed or dead.

    If dead, ``decision`` is the reason.

    ``fit``: the probability that the document belongs to one of the labels. ``unknown_share``: share of its
    characters that the model can't read, if over a tenth.
    """

    state: str
    label: str | None = None
    confidence: float | None = None
    decision: str | None = None
    fit: float | None = None
    model_version: int | None = None
    review: dict[str, Any] | None = None
    unknown_share: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields that producers see; ``unknown_share`` only if there is one."""
        fields = self._asdict()
        return fields if self.unknown_share is not None else {k: fields[k] for k in fields if k != "unknown_share"}


def document_state(session: Session, source: str, id_: str) -> DocumentState | None:
    """The newest state of a document; None: it is unknown or not stored yet."""
    names = {"source": source, "id": id_}
    found = session.execute(_NEWEST, names).one_or_none()
    dead = session.execute(_DEAD, {**names, "entry_id": found.entry_id if found else None}).one_or_none()
    # A document that was stored and could not be predicted later has a dead letter for the same entry.
    if dead is not None and (dead.newest or (dead.same and found is not None and found.label is None)):
        return DocumentState("dead", decision=dead.reason)
    if found is None:
        return None
    review = _reviews(session, [found.id]).get(found.id)
    only_imported = found.label is None and found.entry_id is None
    return None if only_imported and review is None else _state(found, review)


def sent_states(session: Session, sent: Sequence[Sent]) -> dict[int, DocumentState]:
    """States of exactly these texts, by position; those that are not stored yet are missing."""
    rows = {"rows": orjson.dumps([{"n": n, **each._asdict()} for n, each in enumerate(sent)]).decode()}
    found = session.execute(_SENT, rows).all()
    reviews = _reviews(session, [row.id for row in found])
    states = {row.n: _state(row, reviews.get(row.id)) for row in found}
    return states | {row.n: DocumentState("dead", decision=row.reason) for row in session.execute(_SENT_DEAD, rows)}


def document_id(session: Session, source: str, id_: str) -> int | None:
    """Id of the newest version of a document; None: it is unknown or still waiting."""
    found: int | None = session.scalar(_IMPORTED, {"source": source, "id": id_})
    return found


def known_names(session: Session, names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The names (source, id) among these that have a document or a dead letter."""
    asked = {"sources": [source for source, _ in names], "ids": [id_ for _, id_ in names]}
    return [(row.source, row.external_id) for row in session.execute(_KNOWN, asked)]


def _state(found: Row[Any], review: dict[str, Any] | None) -> DocumentState:
    state = "reviewed" if review else "stored" if found.label is None else "classified"
    prediction = (found.label, found.confidence, found.decision, found.fit, found.model_version_id)
    return DocumentState(state, *prediction, review, found.unknown_share)


def _reviews(session: Session, document_ids: list[int]) -> dict[int, dict[str, Any]]:
    """The newest standing decision of each document that has one."""
    return {
        row.document_id: {
            "action": row.action, "label": row.label, "reviewer": row.reviewer, "at": row.created_at.isoformat(),
        }
        for row in session.execute(_REVIEWED, {"ids": document_ids})
    }  # fmt: skip
