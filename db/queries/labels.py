"""Queries on labels."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Label


def listing(session: Session) -> Sequence[Label]:
    """All labels, by name, archived ones included."""
    return session.scalars(select(Label).order_by(Label.name)).all()


def get(session: Session, label_id: int) -> Label | None:
    """One label, archived or not; None: there is none of that id."""
    return session.get(Label, label_id)
