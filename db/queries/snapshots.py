"""Queries on snapshots."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from db.models import Snapshot, TrainingRun
from sortline.errors import NotFoundError

_ADD_REVIEWS = text("""
INSERT INTO snapshot_reviews (snapshot_id, review_id, split)
SELECT :snapshot_id, * FROM unnest(CAST(:reviews AS bigint[]), CAST(:splits AS text[]))
""")


def create(session: Session, uri: str, sha256: str, counts: dict[str, Any]) -> Snapshot:
    """Insert the row of a snapshot whose file has been written."""
    row = Snapshot(uri=uri, sha256=sha256, counts=counts)
    session.add(row)
    session.flush()
    return row


def get(session: Session, snapshot_id: int) -> Snapshot:
    """One snapshot.

    Raises:
        NotFoundError: there is no such snapshot.
    """
    row = session.get(Snapshot, snapshot_id)
    if row is None:
        raise NotFoundError(f"there is no snapshot {snapshot_id}")
    return row


def add_reviews(session: Session, snapshot_id: int, decisions: Sequence[tuple[int, str]]) -> None:
    """Note the decisions (review id, split) in a snapshot."""
    reviews, splits = [each[0] for each in decisions], [each[1] for each in decisions]
    session.execute(_ADD_REVIEWS, {"snapshot_id": snapshot_id, "reviews": reviews, "splits": splits})


def attach(session: Session, snapshot_id: int, run_id: int, token: int, newest_review_id: int) -> bool:
    """Note the snapshot of a running training run; False: the run was taken away from this process."""
    done = session.execute(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "running", TrainingRun.lease_token == token)
        .values(snapshot_id=snapshot_id, newest_review_id=newest_review_id)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]
