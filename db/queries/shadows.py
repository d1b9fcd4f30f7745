"""Queries of shadows: a version answers beside the active one, and its answers are sent to nobody.

A shadow goes through the documents that are classified while it is open, in the order of their ids, and answers a share
of them. A hash of the id draws them, so every worker draws the same. Some documents for which its label differs from
the live prediction go to the desk, and people decide which is right.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select, text, true, update
from sqlalchemy.orm import Session

from db import locks
from db.locks import Lock
from db.models import AuditEvent, ModelVersion, Shadow
from db.queries import model_versions
from db.queries.predictions import SCORED_ROWS, insert_scored
from db.queries.standing import newest_prediction, standing_decision
from sortline.errors import ConflictError, InvalidInputError

MOST_WAITING = 100  # disagreements that wait at the desk at once
_SETTLED_S = 10  # documents with smaller ids than a younger one may not be committed yet
_LONGEST_WALK = 5_000  # documents that one page goes through

_HOLD = text("""
UPDATE shadows SET held_by = :worker, held_until = now() + make_interval(secs => :seconds)
WHERE id = :id AND ended_at IS NULL AND (held_by = :worker OR held_until IS NULL OR held_until < now()) RETURNING id
""")
# It goes no further than the oldest document that waits for its first prediction.
_WALK = text("""
SELECT max(id) FROM (
  SELECT id FROM documents WHERE id > :after AND received_at < now() - make_interval(secs => :settled)
    AND id < coalesce((SELECT min(document_id) FROM unpredicted WHERE document_id > :after), 9223372036854775807)
  ORDER BY id LIMIT :walk) passed
""")
_DRAWN = text("""
SELECT documents.id, text FROM documents WHERE id > :after AND id <= :to
AND (hashint8extended(id, :seed) & 1048575) < :share * 1048576
AND EXISTS (SELECT FROM predictions WHERE document_id = documents.id AND kind = 'live') ORDER BY id
""")
_STORE = text(f"""
WITH scored AS (
  SELECT row.* FROM {SCORED_ROWS}
  JOIN documents ON documents.id = row.document_id FOR KEY SHARE OF documents
), stored AS (
  {insert_scored("shadow")}
  ON CONFLICT DO NOTHING RETURNING document_id
)
INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id)
SELECT scored.document_id, 'shadow', margin, said.model_version_id, said.label_id
FROM scored JOIN stored USING (document_id)
JOIN LATERAL {newest_prediction("scored.document_id")} said ON said.label_id <> scored.label
WHERE NOT EXISTS (SELECT FROM reviews WHERE reviews.document_id = scored.document_id)
ORDER BY scored.document_id
LIMIT greatest(0, :most - (
  SELECT count(*) FROM queue_items waiting WHERE reason = 'shadow'
  AND NOT EXISTS (SELECT FROM form_draws WHERE form_draws.document_id = waiting.document_id)))
ON CONFLICT DO NOTHING
""")  # noqa: S608 - of constants alone
# Compares with the live prediction of each document. Any later decision counts, whatever the document waited for.
_COMPARED = """
SELECT shadow.document_id, live.label_id AS said, shadow.label_id AS shadow_said,
  live.decision AS line_decision, shadow.decision AS shadow_decision
FROM predictions shadow JOIN predictions live ON live.document_id = shadow.document_id AND live.kind = 'live'
WHERE shadow.kind = 'shadow' AND shadow.model_version_id = :version_id
"""
_AGREEMENT = text(f"""
SELECT count(*) AS documents, count(*) FILTER (WHERE said = shadow_said) AS alike,
  count(*) FILTER (WHERE line_decision = 'accept') AS accepted,
  count(*) FILTER (WHERE shadow_decision = 'accept') AS shadow_accepted FROM ({_COMPARED}) compared
""")  # noqa: S608 - of constants alone
_PAIRS = text(f"""
SELECT said.name AS said, other.name AS shadow_said, count(*) AS documents FROM ({_COMPARED}) compared
JOIN labels said ON said.id = compared.said JOIN labels other ON other.id = compared.shadow_said
WHERE compared.said <> compared.shadow_said GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT :limit
""")  # noqa: S608 - of constants alone
_DECIDED = f"""
SELECT compared.*, coalesce(given.merged_into_id, given.id) AS truth FROM ({_COMPARED}) compared
JOIN LATERAL {standing_decision("compared.document_id")} standing ON true
LEFT JOIN labels given ON given.id = standing.label_id WHERE compared.said <> compared.shadow_said
"""  # noqa: S608 - of constants alone
_WON = text(f"""
SELECT count(*) FILTER (WHERE truth = shadow_said) AS shadow, count(*) FILTER (WHERE truth = said) AS line,
  count(*) FILTER (WHERE truth IS NULL OR truth NOT IN (said, shadow_said)) AS neither FROM ({_DECIDED}) decided
""")  # noqa: S608 - of constants alone
_EXAMPLES = text(f"""
SELECT decided.document_id, left(text, :chars) AS text, said.name AS said, other.name AS shadow_said,
  truth.name AS truth
FROM ({_DECIDED}) decided JOIN documents ON documents.id = decided.document_id
JOIN labels said ON said.id = decided.said JOIN labels other ON other.id = decided.shadow_said
LEFT JOIN labels truth ON truth.id = decided.truth ORDER BY decided.document_id DESC LIMIT :limit
""")  # noqa: S608 - of constants alone


class Evidence(NamedTuple):
    """What a shadow's answers showed.

    ``documents``: documents that both answered; ``alike``: those with the same label; ``accepted``,
    ``shadow_accepted``: those that each accepts. ``shadow``, ``line`` and ``neither``: of the other documents that
    people decided, those for which the shadow, the active version or neither was right.
    """

    documents: int
    alike: int
    accepted: int
    shadow_accepted: int
    shadow: int
    line: int
    neither: int

    @property
    def p(self) -> float | None:
        """Two-sided p-value of both being right equally often where they differ; None: nothing is decided.

        McNemar's exact test: the binomial test of the discordant pairs (McNemar 1947; Fagerland and others 2013).
        """
        n, fewer = self.shadow + self.line, min(self.shadow, self.line)
        if not n:
            return None
        return min(1.0, float(2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n))


class Pair(NamedTuple):
    """The number of documents to which the active version gave one label and the shadow another."""

    label: str
    shadow_label: str
    documents: int


class Example(NamedTuple):
    """A decided disagreement: the beginning of the text, both labels, and the decided one (None: none fits)."""

    document_id: int
    text: str
    label: str
    shadow_label: str
    truth: str | None


def start(session: Session, version_id: int, share: float, actor: str) -> Shadow:
    """Let a version answer beside the active one from now on.

    Raises:
        NotFoundError: there is no such version.
        InvalidInputError: the share is not over 0 and at most 1.
        ConflictError: the version is active, no version is active, or another shadow is open.
    """
    if not 0 < share <= 1:
        raise InvalidInputError("the share must be more than 0 and at most 1")
    locks.hold(session, Lock.PROMOTION)
    session.expire_all()  # a version may have been promoted while this waited
    version, active = model_versions.get(session, version_id), model_versions.active(session)
    if active is None:
        raise ConflictError("no model version is active, so there is nothing to answer beside")
    if active.id == version.id:
        raise ConflictError(f"model version {version_id} is active")
    now = running(session)
    if now is not None:
        raise ConflictError(f"model version {now.model_version_id} is a shadow already; end that first")
    newest = session.scalar(text("SELECT coalesce(max(id), 0) FROM documents"))
    shadow = Shadow(model_version_id=version_id, share=share, started_by=actor, looked_to=newest)
    session.add(shadow)
    session.flush()
    _audit(session, actor, "shadow started", version_id, {"share": share})
    return shadow


def stop(session: Session, actor: str, because: str, shadow_id: int | None = None) -> int | None:
    """End the open shadow; returns its version, or None if no shadow was open. Its answers stay.

    Args:
        shadow_id: only end this shadow; None: any.
    """
    version_id: int | None = session.scalar(
        update(Shadow)
        .where(Shadow.ended_at.is_(None), Shadow.id == shadow_id if shadow_id is not None else true())
        .values(ended_at=func.now(), ended_because=because)
        .returning(Shadow.model_version_id)
    )
    if version_id is not None:
        _audit(session, actor, "shadow ended", version_id, {"because": because})
    return version_id


def running(session: Session) -> Shadow | None:
    """The open shadow; None: there is none."""
    return session.scalar(select(Shadow).where(Shadow.ended_at.is_(None)).execution_options(populate_existing=True))


def version_of(session: Session, shadow_id: int) -> ModelVersion | None:
    """The version of a shadow; None: the shadow has ended."""
    return session.scalar(
        select(ModelVersion)
        .join(Shadow, Shadow.model_version_id == ModelVersion.id)
        .where(Shadow.id == shadow_id, Shadow.ended_at.is_(None))
    )


def of_version(session: Session, version_id: int) -> Shadow | None:
    """The newest shadow of a version, open or not."""
    return session.scalar(
        select(Shadow).where(Shadow.model_version_id == version_id).order_by(Shadow.id.desc()).limit(1)
    )


def hold(session: Session, shadow_id: int, worker: str, seconds: float) -> bool:
    """Let only this worker continue a shadow; False: the shadow has ended, or another worker is continuing it."""
    asked = {"id": shadow_id, "worker": worker, "seconds": seconds}
    return session.scalar(_HOLD, asked) is not None


def page(session: Session, shadow: Shadow, wanted: int) -> tuple[int | None, list[tuple[int, str]]]:
    """The next page: the id of its last document (None: there are no new documents), and those drawn (id, text)."""
    walk = min(_LONGEST_WALK, max(1, round(wanted / shadow.share)))
    asked: dict[str, Any] = {"after": shadow.looked_to, "settled": _SETTLED_S, "walk": walk}
    to: int | None = session.scalar(_WALK, asked)
    if to is None:
        return None, []
    drawn = {"after": shadow.looked_to, "to": to, "seed": shadow.id, "share": shadow.share}
    return to, [(row.id, row.text) for row in session.execute(_DRAWN, drawn)]


def store(session: Session, shadow: Shadow, to: int, rows: str) -> None:
    """Insert a shadow's answers (a JSON list of objects with the keys of `SCORED_ROWS`), and note how far it has come.

    Some documents whose label differs from the live prediction go to the desk, never more than `MOST_WAITING` at once.
    """
    if rows != "[]":
        asked = {"rows": rows, "version_id": shadow.model_version_id, "most": MOST_WAITING}
        session.execute(_STORE, asked)
    session.execute(
        update(Shadow)
        .where(Shadow.id == shadow.id, Shadow.ended_at.is_(None))
        .values(looked_to=func.greatest(Shadow.looked_to, to), trouble=None)
    )


def note_trouble(session: Session, shadow_id: int, trouble: str) -> None:
    """Note why a shadow does not answer."""
    session.execute(update(Shadow).where(Shadow.id == shadow_id).values(trouble=trouble[:1000]))


def evidence(session: Session, version_id: int) -> Evidence:
    """What a version's answers as a shadow have shown so far."""
    asked = {"version_id": version_id}
    return Evidence(*session.execute(_AGREEMENT, asked).one(), *session.execute(_WON, asked).one())


def pairs(session: Session, version_id: int, limit: int) -> Sequence[Pair]:
    """The pairs of labels in which the two versions differed most often."""
    return [Pair(*row) for row in session.execute(_PAIRS, {"version_id": version_id, "limit": limit})]


def examples(session: Session, version_id: int, limit: int, chars: int) -> Sequence[Example]:
    """The newest disagreements that people decided."""
    asked = {"version_id": version_id, "limit": limit, "chars": chars}
    return [Example(*row) for row in session.execute(_EXAMPLES, asked)]


def _audit(session: Session, actor: str, action: str, version_id: int, detail: dict[str, Any]) -> None:
    session.add(AuditEvent(actor=actor, action=action, subject=f"model_version:{version_id}", detail=detail))
    session.flush()
