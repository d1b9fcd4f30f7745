"""Queries on queue_items: what waits for a person, why, and who has it open.

web/desk/queue_policy.py decides which document comes next; this module has the queries for it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.doubts import DOUBTS, doubt, doubt_score
from db.queries.standing import newest_prediction
from sortline.errors import NotFoundError

BY_LABEL = ("doubtful", "low_fit")  # reasons whose documents are found by label

_ADD = text(f"""
INSERT INTO queue_items (document_id, reason, score, label_id, note)
SELECT row.document_id, :reason, row.score, row.label_id, row.note
FROM json_to_recordset(CAST(:rows AS json)) AS row (document_id bigint, score real, label_id integer, note text)
JOIN documents ON documents.id = row.document_id ORDER BY row.document_id FOR KEY SHARE OF documents
ON CONFLICT (document_id) DO UPDATE SET reason = excluded.reason, score = excluded.score, note = excluded.note, turn = 0
WHERE excluded.reason = 'drift' AND queue_items.reason IN {DOUBTS} AND coalesce(queue_items.lease_until <= now(), true)
""")  # noqa: S608 - of constants alone
# A document drawn for an audit keeps that reason, because live accuracy is estimated from such draws. A document that a
# person has open stays with them.
_FLAG = text(f"""
INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id, note)
SELECT documents.id, 'flag', 0, newest.model_version_id, newest.label_id, :note
FROM documents LEFT JOIN LATERAL {newest_prediction("documents.id")} newest ON true
WHERE documents.id = :document_id FOR KEY SHARE OF documents
ON CONFLICT (document_id) DO UPDATE SET note = excluded.note, turn = 0, not_for = NULL, only_for = NULL,
  not_before = NULL, reason = CASE WHEN queue_items.reason = 'audit' THEN 'audit' ELSE 'flag' END,
  score = CASE WHEN queue_items.reason = 'audit' THEN queue_items.score ELSE 0 END
""")  # noqa: S608 - of constants alone

_BACK = text(f"""
INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id, sampling_probability)
SELECT :document_id, CASE WHEN doubted THEN {doubt("fit")} ELSE :reason END,
  CASE WHEN :reason = 'audit' THEN random() WHEN doubted THEN {doubt_score("fit", "margin")} ELSE margin END,
  model_version_id, label_id, :sampling_probability
FROM (VALUES (1)) one LEFT JOIN {newest_prediction(":document_id")} newest ON true
CROSS JOIN LATERAL (
  SELECT :reason IN {DOUBTS} OR (:reason = 'unpredicted' AND label_id IS NOT NULL) AS doubted, coalesce(
    2 * confidence - (SELECT sum(p) FROM (SELECT p FROM unnest(probabilities) p ORDER BY p DESC LIMIT 2) two), 0
  ) AS margin
) place
ON CONFLICT (document_id) DO UPDATE SET reason = excluded.reason, score = excluded.score, turn = 0,
  sampling_probability = excluded.sampling_probability, only_for = NULL, not_for = NULL, not_before = NULL
""")  # noqa: S608 - of constants alone

_FREE = """
(lease_until IS NULL OR lease_until <= now()) AND (only_for IS NULL OR only_for = :user_id)
AND (not_for IS NULL OR not_for <> :user_id) AND (not_before IS NULL OR not_before <= now())
AND document_id <> ALL(:without)
"""
_FIRST = text(f"""
SELECT queue_items.document_id, reason, turn, left(text, :chars) AS text FROM (
  SELECT * FROM queue_items WHERE reason = :reason AND {_FREE} ORDER BY turn, score, document_id LIMIT :limit
) queue_items JOIN documents ON documents.id = document_id ORDER BY turn, score, document_id
""")  # noqa: S608 - of constants alone
# Goes through the labels once by index look-ups from each label's id to the next, whatever the ids are. Each reason has
# a text of its own, because the index on its labels is for that reason only.
_FIRST_OF_LABELS = {
    reason: text(f"""
WITH RECURSIVE forward AS (
  SELECT (SELECT min(label_id) FROM queue_items WHERE reason = '{reason}' AND label_id >= :start) AS label_id, 1 AS n
  UNION ALL
  SELECT (SELECT min(label_id) FROM queue_items WHERE reason = '{reason}' AND label_id > forward.label_id), n + 1
  FROM forward WHERE label_id IS NOT NULL AND n < :labels
), around AS (
  SELECT (SELECT min(label_id) FROM queue_items WHERE reason = '{reason}' AND label_id < :start) AS label_id,
         (SELECT count(label_id) FROM forward) + 1 AS n
  UNION ALL
  SELECT (SELECT min(label_id) FROM queue_items
          WHERE reason = '{reason}' AND label_id > around.label_id AND label_id < :start), n + 1
  FROM around WHERE label_id IS NOT NULL AND n < :labels
), drawn AS (
  SELECT label_id FROM forward WHERE label_id IS NOT NULL
  UNION ALL SELECT label_id FROM around WHERE label_id IS NOT NULL AND n <= :labels
)
SELECT found.document_id, reason, turn, left(text, :chars) AS text FROM drawn CROSS JOIN LATERAL (
  SELECT document_id, reason, turn, score FROM queue_items
  WHERE reason = '{reason}' AND label_id = drawn.label_id AND {_FREE} ORDER BY turn, score, document_id LIMIT :each
) found JOIN documents ON documents.id = found.document_id
ORDER BY turn, score, found.document_id
""")  # noqa: S608 - of constants alone
    for reason in BY_LABEL
}
_LARGEST_LABEL = {
    reason: text(f"SELECT max(label_id) FROM queue_items WHERE reason = '{reason}'")  # noqa: S608 - of constants alone
    for reason in BY_LABEL
}
_RECENT = text("""
SELECT left(text, :chars) FROM (
  (SELECT document_id FROM reviews WHERE reviewer_id = :user_id ORDER BY id DESC LIMIT :limit)
  UNION (SELECT document_id FROM queue_items WHERE leased_to = :user_id AND lease_until > now())
) recent JOIN documents ON documents.id = document_id
""")
_PUT_OFF = text("""
UPDATE queue_items SET turn = turn + 1 WHERE document_id IN (
  SELECT document_id FROM queue_items WHERE document_id = ANY(:ids) AND turn < 1000
  AND (lease_until IS NULL OR lease_until <= now()) FOR UPDATE SKIP LOCKED)
""")
_SHOWN = """
jsonb_build_object('label_id', predictions.label_id, 'confidence', confidence,
                   'model_version_id', predictions.model_version_id, 'form', predictions.form)
  || CASE WHEN predictions.revision IS NULL THEN '{}' ELSE jsonb_build_object('revision', predictions.revision) END
"""
# Takes the first of these documents that nobody else is taking now, and stores what the lease shows.
_LEASE = text(f"""
UPDATE queue_items SET lease_token = nextval('lease_tokens'), leased_to = :user_id,
  lease_until = now() + make_interval(secs => :seconds),
  shown = CASE WHEN sampling_probability IS NULL AND reason <> 'shadow' AND random() >= :hidden_share
    THEN {newest_prediction("queue_items.document_id", _SHOWN)} END
WHERE document_id = (
  SELECT document_id FROM queue_items WHERE document_id = ANY(:ids) AND {_FREE}
  ORDER BY array_position(:ids, document_id) LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING document_id
""")  # noqa: S608 - of constants alone
_LEASES_MAY_BE_LOST = text("SET LOCAL synchronous_commit TO off")
_HELD = text("""
SELECT document_id FROM queue_items WHERE leased_to = :user_id AND lease_until > now() ORDER BY lease_token
""")
_RENEW = text("""
UPDATE queue_items SET lease_until = now() + make_interval(secs => :seconds)
WHERE document_id IN (
  SELECT document_id FROM queue_items WHERE leased_to = :user_id AND lease_token = ANY(:tokens)
  ORDER BY document_id FOR UPDATE SKIP LOCKED)
RETURNING lease_token
""")
# Condition on predictions: the version that the lease shows; if it hides the prediction, any version, so the newest.
_OF_SHOWN = """
predictions.model_version_id = coalesce(CAST(shown ->> 'model_version_id' AS integer), predictions.model_version_id)
"""
_LEASED = text(f"""
SELECT queue_items.document_id, lease_token, reason, note, queue_items.label_id AS suggested_label_id, shown,
  source, external_id, received_at, text, said.label_id, said.confidence, said.probabilities, label_ids,
  said.fit, said.model_version_id, said.unknown_share, coalesce(model_versions.starter, false) AS by_starter
FROM queue_items JOIN documents ON documents.id = document_id
LEFT JOIN LATERAL {newest_prediction("documents.id", only=_OF_SHOWN)} said ON true
LEFT JOIN model_versions ON model_versions.id = said.model_version_id
WHERE queue_items.document_id = ANY(:ids) AND leased_to = :user_id ORDER BY lease_token
""")  # noqa: S608 - of constants alone


class Candidate(NamedTuple):
    """A document that may come next; ``text``: the beginning of its text; ``turn``: how often it was put off."""

    document_id: int
    reason: str
    turn: int
    text: str


class Leased(NamedTuple):
    """A document that a reviewer has open, and why.

    ``shown`` is the prediction that they see, None if it is hidden or there is none. ``label_id``, ``confidence`` and
    ``probabilities`` (in the order of ``label_ids``) are the prediction's, None if there is none; ``fit`` also, if the
    model gives none. ``unknown_share``: share of the text that the model can't read, if over a tenth. ``by_starter``:
    whether a starter predicted.
    """

    document_id: int
    lease_token: int
    reason: str
    note: str | None
    suggested_label_id: int | None
    shown: dict[str, Any] | None
    source: str
    external_id: str
    received_at: datetime
    text: str
    label_id: int | None
    confidence: float | None
    probabilities: list[float] | None
    label_ids: list[int] | None
    fit: float | None
    model_version_id: int | None
    unknown_share: float | None = None
    by_starter: bool = False


def add(session: Session, items: Sequence[Mapping[str, Any]], reason: str) -> None:
    """Add documents to the queue; one that waits already keeps its reason.

    Except: with the reason drift, a document that waits because the model does not accept it, and that nobody has open,
    changes its reason.

    Args:
        items: each has ``document_id`` and ``score``, and may have ``label_id`` and ``note``.
        reason: doubtful, low_fit, audit, label_error or drift.
    """
    rows = orjson.dumps([dict(item) for item in items]).decode()
    session.execute(_ADD, {"rows": rows, "reason": reason})


def flag(session: Session, document_id: int, note: str | None) -> None:
    """Add a flagged document to the queue; one drawn for an audit keeps that reason.

    Raises:
        NotFoundError: the document was erased meanwhile.
    """
    done = session.execute(_FLAG, {"document_id": document_id, "note": note})
    if not done.rowcount:  # type: ignore[attr-defined]
        raise NotFoundError("the document was erased meanwhile")


def put_back(session: Session, items: Sequence[dict[str, Any]]) -> None:
    """Put documents back into the queue, each with ``document_id``, ``reason`` and ``sampling_probability``.

    What the model did not accept waits as its newest prediction says, `doubtful` or `low_fit`.
    """
    if items:
        session.execute(_BACK, list(items))


def first(
    session: Session, reason: str, user_id: int, without: Sequence[int], limit: int, chars: int
) -> list[Candidate]:
    """The first free documents of a reason: those put off least often, then those with the lowest score."""
    asked = {"reason": reason, "user_id": user_id, "without": list(without), "limit": limit, "chars": chars}
    return [Candidate(*row) for row in session.execute(_FIRST, asked)]


def first_of_labels(
    session: Session, reason: str, start: int, labels: int, each: int, user_id: int, without: Sequence[int], chars: int
) -> list[Candidate]:
    """The first free documents of some labels, at most ``each`` per label.

    Args:
        reason: one of `BY_LABEL`.
        start: the label id to start with; after the greatest id it goes on with the smallest.
        labels: the number of labels with such documents.
    """
    asked = {
        "start": start, "labels": labels, "each": each, "user_id": user_id, "without": list(without), "chars": chars,
    }  # fmt: skip
    return [Candidate(*row) for row in session.execute(_FIRST_OF_LABELS[reason], asked)]


def largest_label_id(session: Session, reason: str) -> int | None:
    """The greatest label id of a document that waits for this reason (of `BY_LABEL`); None: there is none."""
    found: int | None = session.scalar(_LARGEST_LABEL[reason])
    return found


def recent_texts(session: Session, user_id: int, limit: int, chars: int) -> list[str]:
    """Beginnings of the texts that a reviewer decided last or has open."""
    return list(session.scalars(_RECENT, {"user_id": user_id, "limit": limit, "chars": chars}))


def put_off(session: Session, ids: Sequence[int]) -> None:
    """Move documents behind the others, except those that somebody is taking now."""
    session.execute(_PUT_OFF, {"ids": list(ids)})


def leases_may_be_lost(session: Session) -> None:
    """Let this transaction, which only writes leases, commit without waiting for the disk.

    If Postgres crashes within the next moments, the documents are free again, and a decision on a lost lease is a
    conflict.
    """
    session.execute(_LEASES_MAY_BE_LOST)


def lease(
    session: Session, ids: Sequence[int], user_id: int, seconds: float, hidden_share: float, without: Sequence[int] = ()
) -> int | None:
    """Lease the first of the documents that is still free; returns its id, or None.

    Predictions are hidden for audits, for documents that two versions answer differently, and for a share of the
    others.
    """
    asked = {
        "ids": list(ids), "user_id": user_id, "seconds": seconds, "hidden_share": hidden_share,
        "without": list(without),
    }  # fmt: skip
    found: int | None = session.scalar(_LEASE, asked)
    return found


def held(session: Session, user_id: int) -> list[int]:
    """Documents that a reviewer has open, in the order in which they got them."""
    return list(session.scalars(_HELD, {"user_id": user_id}))


def renew(session: Session, user_id: int, tokens: Sequence[int], seconds: float) -> list[int]:
    """Extend leases; returns the tokens of those that the reviewer still has."""
    return list(session.scalars(_RENEW, {"user_id": user_id, "tokens": list(tokens), "seconds": seconds}))


def leased(session: Session, user_id: int, ids: Sequence[int]) -> list[Leased]:
    """The documents among these that a reviewer has open, in the order in which they got them."""
    return [Leased(*row) for row in session.execute(_LEASED, {"user_id": user_id, "ids": list(ids)})]
