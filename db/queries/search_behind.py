"""How far the index that searches by words use is behind: read as plain rows, for `sortline status`."""

from typing import NamedTuple

from db.reading import Reads, statement

SAID_FROM_S = 5.0  # search says how far it is behind from here on; housekeeping looks every second
_MOST_COUNTED = 100_000
_BEHIND = statement("""
SELECT coalesce(sum(documents), 0), coalesce(extract(epoch FROM clock_timestamp() - min(stored_at)), 0)
FROM (SELECT documents, stored_at FROM search_pending ORDER BY id LIMIT :most) oldest WHERE documents > 0
""")


class Behind(NamedTuple):
    """How many documents searches by words do not find yet, and seconds since the oldest of them was stored."""

    documents: int
    seconds: float


def behind(opened: Reads) -> Behind:
    """How far the search index is behind; counts the oldest 100,000 notes, each of one or more documents."""
    documents, seconds = opened.execute(_BEHIND, {"most": _MOST_COUNTED}).one()
    return Behind(int(documents), round(max(0.0, float(seconds)), 3))
