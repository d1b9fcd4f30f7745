"""Queries on snapshots."""

from typing import Any

from sqlalchemy.orm import Session

from db.models import Snapshot


def create(session: Session, uri: str, sha256: str, counts: dict[str, Any]) -> Snapshot:
    """Insert the row of a snapshot whose file is written."""
    row = Snapshot(uri=uri, sha256=sha256, counts=counts)
    session.add(row)
    session.flush()
    return row
