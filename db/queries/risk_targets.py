"""Queries on risk_targets: the share of wrong ones among accepted documents that people have chosen to promise."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import RiskTarget
from db.queries import audit, redecisions


def chosen(session: Session) -> float | None:
    """The target that people have chosen; None: none, so the setting's holds."""
    return session.scalar(select(RiskTarget.target).order_by(RiskTarget.id.desc()).limit(1))


def choose(session: Session, target: float | None, actor: str) -> None:
    """Choose a target for the installation, with an audit row; workers take it up like a promotion. The caller commits.

    What waits is decided again then.

    Args:
        target: over 0 and under 1; None: the setting's.
    """
    before = chosen(session)
    session.add(RiskTarget(target=target, chosen_by=actor))
    audit.note(session, actor, "choose_risk_target", "installation", {"target": target, "before": before})
    redecisions.ask(session)
    session.flush()
