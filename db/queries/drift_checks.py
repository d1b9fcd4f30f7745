"""Queries on drift_looks: what the drift checks found, and whether they run."""

from datetime import datetime
from typing import NamedTuple

from db.reading import Reads, statement

DRIFT = "drift"  # the kind of the incidents that they open
MOST_CHECK_S = 1800
_KEPT_DAYS = 35  # for which checks are kept

_BEGIN = statement("""
WITH old AS (DELETE FROM drift_looks WHERE began_at < now() - make_interval(days => :days))
INSERT INTO drift_looks DEFAULT VALUES RETURNING id
""")
_END = statement("UPDATE drift_looks SET ended_at = clock_timestamp(), said = :said, failed = :failed WHERE id = :id")
# A check that has not ended within its time has died.
_LAST = statement("""
SELECT began_at, failed OR ended_at IS NULL AS failed, coalesce(said, 'Its process has died.') AS said
FROM drift_looks WHERE ended_at IS NOT NULL OR began_at < now() - make_interval(secs => :most)
ORDER BY id DESC LIMIT :limit
""")
_OPEN = statement("SELECT id FROM incidents WHERE closed_at IS NULL AND kind = :kind ORDER BY id DESC")


class Check(NamedTuple):
    """A finished check, with its outcome in words."""

    began_at: datetime
    failed: bool
    said: str


def begin(opened: Reads) -> int:
    """Note that a check begins; returns its id."""
    return int(opened.execute(_BEGIN, {"days": _KEPT_DAYS}).scalar_one())


def end(opened: Reads, check_id: int, said: str, failed: bool = False) -> None:
    """Note the outcome of a check."""
    opened.execute(_END, {"id": check_id, "said": said, "failed": failed})


def last(opened: Reads, limit: int = 1) -> list[Check]:
    """The newest finished checks, the newest first; one that did not end within its time has failed."""
    return [Check(*row) for row in opened.execute(_LAST, {"most": MOST_CHECK_S + 60, "limit": limit})]


def failing(opened: Reads) -> bool:
    """Whether the last two checks failed; a single one may have been stopped with its machine."""
    newest = last(opened, 2)
    return len(newest) == 2 and all(check.failed for check in newest)


def open_incidents(opened: Reads) -> list[int]:
    """Ids of the open incidents, newest first."""
    return list(opened.execute(_OPEN, {"kind": DRIFT}).scalars())
