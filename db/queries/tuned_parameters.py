"""Queries on tuned_parameters: the best parameters that tuning found."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import TunedParameters


def newest(session: Session) -> dict[str, Any] | None:
    """The parameters that trainings use now; None: no study beat the defaults."""
    return session.scalar(select(TunedParameters.parameters).order_by(TunedParameters.id.desc()).limit(1))


def store(session: Session, **columns: Any) -> TunedParameters:
    """Insert the best parameters of a study; ``columns`` are those of TunedParameters."""
    row = TunedParameters(**columns)
    session.add(row)
    session.flush()
    return row


def gain(session: Session) -> float | None:
    """The gain in macro-F1 on validation documents by the newest study; None: there is no study."""
    row = session.scalar(select(TunedParameters).order_by(TunedParameters.id.desc()).limit(1))
    return None if row is None else row.macro_f1 - row.untuned_macro_f1
