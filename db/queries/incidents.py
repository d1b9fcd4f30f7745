"""Queries on incidents, which people must look into, from their alarm to their end."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import AuditEvent, Incident
from db.queries import drift_checks
from sortline.errors import ConflictError, NotFoundError

DRIFT = drift_checks.DRIFT
KINDS = (DRIFT,)
_REASON = "drift, incident %d: its evidence is decided"  # reason of a training run; only one starts for each incident

_DECIDED = text("""
SELECT id FROM incidents WHERE kind = :kind AND closed_at IS NULL
AND EXISTS (SELECT FROM jsonb_array_elements(evidence -> 'document_ids') AS document (id)
            JOIN reviews ON document_id = CAST(document.id AS bigint))
AND NOT EXISTS (SELECT FROM jsonb_array_elements(evidence -> 'document_ids') AS document (id)
                JOIN queue_items ON document_id = CAST(document.id AS bigint))
AND NOT EXISTS (SELECT FROM training_runs WHERE reason = replace(:reason, '%d', CAST(incidents.id AS text)))
""")
_TRAININGS = text("""
SELECT incidents.id AS incident_id, training_runs.id AS run_id FROM incidents
JOIN training_runs ON reason = replace(:reason, '%d', CAST(incidents.id AS text))
""")


def begin(session: Session, kind: str, model_version_id: int, statistic: float, evidence: dict[str, Any]) -> int | None:
    """Open an incident; returns its id, or None if one of this kind is open. The caller commits."""
    incident_id = session.scalar(
        insert(Incident)
        .values(kind=kind, model_version_id=model_version_id, statistic=statistic, evidence=evidence)
        .on_conflict_do_nothing()
        .returning(Incident.id)
    )
    if incident_id is not None:
        _note(session, "beat", "incident opened", incident_id, {"kind": kind})
    return incident_id


def open(session: Session) -> Sequence[Incident]:
    """Open incidents, newest first."""
    return session.scalars(select(Incident).where(Incident.closed_at.is_(None)).order_by(Incident.id.desc())).all()


def counts(session: Session) -> dict[str, int]:
    """Numbers of open incidents, by kind."""
    return dict.fromkeys(KINDS, 0) | dict(Counter(incident.kind for incident in open(session)))


def of_version(session: Session, kind: str, model_version_id: int) -> Sequence[Incident]:
    """All incidents of a kind with a model version, newest first."""
    chosen = select(Incident).where(Incident.kind == kind, Incident.model_version_id == model_version_id)
    return session.scalars(chosen.order_by(Incident.id.desc())).all()


def listing(session: Session, limit: int = 50) -> Sequence[Incident]:
    """Incidents, newest first."""
    return session.scalars(select(Incident).order_by(Incident.id.desc()).limit(limit)).all()


def drifted_since(session: Session, since: datetime) -> datetime | None:
    """When the newest alarm of drift since then was raised; None: there was none.

    A closed one counts too: somebody has looked into it, and the traffic has moved all the same.
    """
    newest = select(func.max(Incident.opened_at)).where(Incident.kind == DRIFT, Incident.opened_at >= since)
    return session.scalar(newest)


def reason_to_train(session: Session) -> str | None:
    """Why a training should start: an open drift incident's evidence is decided, and no training started for it."""
    incident_id = session.scalar(_DECIDED, {"kind": DRIFT, "reason": _REASON})
    return None if incident_id is None else _REASON % incident_id


def trainings(session: Session) -> dict[int, int]:
    """The training run that was started for each incident, by the incident's id."""
    return {row.incident_id: row.run_id for row in session.execute(_TRAININGS, {"reason": _REASON})}


def close(session: Session, incident_id: int, actor: str, because: str) -> None:
    """Close an incident, and note who did it and why; the caller commits.

    Raises:
        NotFoundError: there is no such incident.
        ConflictError: it is closed already.
    """
    closed = session.scalar(
        update(Incident)
        .where(Incident.id == incident_id, Incident.closed_at.is_(None))
        .values(closed_at=func.clock_timestamp(), closed_by=actor, closed_because=because)
        .returning(Incident.id)
    )
    if closed is None:
        if session.get(Incident, incident_id) is None:
            raise NotFoundError(f"there is no incident {incident_id}")
        raise ConflictError(f"incident {incident_id} is closed already")
    _note(session, actor, "incident closed", incident_id, {"because": because})


def _note(session: Session, actor: str, action: str, incident_id: int, detail: dict[str, Any]) -> None:
    session.add(AuditEvent(actor=actor, action=action, subject=f"incident:{incident_id}", detail=detail))
