"""Numbers of documents that wait for a person, fast with a million of them."""

from sqlalchemy import text

from db.connection import Reads
from db.queries import counts
from db.queries.counts import Count

REASONS = ("doubtful", "audit", "flag", "label_error", "drift", "overlap", "repeat", "shadow")

_OF_REASON = "SELECT FROM queue_items WHERE reason = :reason"
_WAITING_UP_TO = text("""
SELECT reason, (
  SELECT count(*) FROM (SELECT FROM queue_items WHERE queue_items.reason = reasons.reason LIMIT :most) counted)
FROM unnest(CAST(:reasons AS text[])) AS reasons (reason)
""")


def by_reason(opened: Reads) -> dict[str, Count]:
    """Numbers of waiting documents by reason, counted up to 10,000 of each and estimated beyond."""
    counted = up_to(opened, counts.MOST)
    return {reason: counts.known(opened, count, _OF_REASON, reason=reason) for reason, count in counted.items()}


def up_to(opened: Reads, most: int) -> dict[str, int]:
    """Numbers of waiting documents by reason, counted up to ``most`` of each; fast with a million of them."""
    asked = {"most": most, "reasons": list(REASONS)}
    return {reason: int(count) for reason, count in opened.execute(_WAITING_UP_TO, asked) if count}
