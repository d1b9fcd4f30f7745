"""Numbers of dead letters, fast with any number of them."""

from datetime import datetime

from db.queries import counts
from db.queries.counts import Count
from db.reading import Reads, statement

_NOT_REQUEUED = "SELECT FROM dead_letters WHERE requeued_at IS NULL"
_COUNT = statement(f"SELECT count(*) FROM ({_NOT_REQUEUED} LIMIT :most) few")  # noqa: S608 - of constants alone
# Ids rise with time, so this reads only the newer rows, from the end, however many rows there are.
_NEWER = """
FROM dead_letters WHERE id > coalesce((
  SELECT id FROM dead_letters WHERE created_at <= now() - CAST(:since AS interval) ORDER BY id DESC LIMIT 1), 0)
"""
_NEW_REASONS = statement(f"SELECT reason, count(*) {_NEWER} GROUP BY reason ORDER BY count DESC, reason")
_NEW_DAYS = statement(f"""
SELECT date_bin('1 day', created_at, TIMESTAMPTZ '2001-01-01 00:00Z') AS day, count(*) {_NEWER} GROUP BY day
""")


def count(opened: Reads) -> Count:
    """Dead letters that were not requeued: counted up to 10,000, estimated beyond."""
    return counts.known(opened, opened.scalar(_COUNT, {"most": counts.MOST}) or 0, _NOT_REQUEUED)


def of_last_hour(opened: Reads) -> dict[str, int]:
    """Numbers of dead letters of the last hour, requeued or not, by reason, most first."""
    return {row[0]: row[1] for row in opened.execute(_NEW_REASONS, {"since": "1 hour"})}


def by_day(opened: Reads, days: int) -> dict[datetime, int]:
    """Numbers of dead letters, requeued or not, by day in UTC; days without any are left out."""
    return {row[0]: row[1] for row in opened.execute(_NEW_DAYS, {"since": f"{days} days"})}
