"""Figures for a glance; each is fast at any size of the tables."""

from sqlalchemy import text
from sqlalchemy.orm import Session

# The block-range index finds the last minute's rows without reading the rest.
_RATE = text("SELECT count(*) FROM predictions WHERE created_at > now() - interval '60 seconds'")


def predictions_per_s(session: Session) -> float:
    """Predictions written in the last minute, per second."""
    return round((session.scalar(_RATE) or 0) / 60, 2)
