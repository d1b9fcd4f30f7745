"""Numbers of documents that wait for a person or for a model, fast with a million of them."""

from db.queries import counts
from db.queries.counts import Count
from db.reading import Reads, statement

REASONS = (
    "unpredicted", "doubtful", "low_fit", "audit", "flag", "label_error", "drift", "overlap", "repeat", "shadow",
)  # fmt: skip

_OF_REASON = "SELECT FROM queue_items WHERE reason = :reason"
_WAITING_UP_TO = statement("""
SELECT reason, (
  SELECT count(*) FROM (SELECT FROM queue_items WHERE queue_items.reason = reasons.reason LIMIT :most) counted)
FROM unnest(CAST(:reasons AS text[])) AS reasons (reason)
""")
_UNPREDICTED = "SELECT FROM unpredicted"
_UNPREDICTED_UP_TO = statement(f"SELECT count(*) FROM ({_UNPREDICTED} LIMIT :most) counted")  # noqa: S608 - constants


def unpredicted(opened: Reads) -> Count:
    """How many stored documents wait for their first prediction, counted up to 10,000 and estimated beyond."""
    counted = int(opened.scalar(_UNPREDICTED_UP_TO, {"most": counts.MOST}) or 0)
    return counts.known(opened, counted, _UNPREDICTED)


def by_reason(opened: Reads) -> dict[str, Count]:
    """Numbers of waiting documents by reason, counted up to 10,000 of each and estimated beyond."""
    counted = up_to(opened, counts.MOST)
    return {reason: counts.known(opened, count, _OF_REASON, reason=reason) for reason, count in counted.items()}


def up_to(opened: Reads, most: int) -> dict[str, int]:
    """Numbers of waiting documents by reason, counted up to ``most`` of each; fast with a million of them."""
    asked = {"most": most, "reasons": list(REASONS)}
    return {reason: int(count) for reason, count in opened.execute(_WAITING_UP_TO, asked) if count}
