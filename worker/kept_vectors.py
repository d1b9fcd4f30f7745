"""Which documents' vectors a worker stores: all, but only some of the accepted ones where very many arrive."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from db.queries import intake
from db.queries.intake import AuditShares

_SPAN_S = 3600.0
_AT_ONCE = 20  # of ``newest``, one part in so many may come at once


class KeptVectors:
    """Chooses the vectors that are stored (docs/decisions/0052-vectors-at-speed.md).

    What waits for a person always has one. Of other documents, ``newest`` vectors are kept. At thousands of documents a
    second these would last for seconds only, and storing them would cost more than all else that Postgres does. So no
    more are stored than last for an hour, after a twentieth of them that may come at once.

    Args:
        newest: how many vectors of documents that neither wait nor were decided are kept.
        audits: how likely documents are drawn for audits, which wait for a person too.
    """

    def __init__(self, newest: int, audits: AuditShares) -> None:
        self.newest = newest
        self.audits = audits
        self._most = newest / _AT_ONCE
        self._left, self._at = self._most, time.monotonic()
        self._lock = threading.Lock()
        self._are_first = bool(audits.documents)

    def choose(self, session: Session, rows: Sequence[dict[str, Any]]) -> list[int]:
        """The indices of the rows whose vectors are stored.

        Args:
            rows: with ``decision``, and ``chance``, which draws a row for an audit.
        """
        share = self._share(session)
        needed = [row["decision"] == "review" or row["chance"] < share for row in rows]
        others = needed.count(False)
        allowed = self._take(others)
        if allowed == others:
            return list(range(len(rows)))
        chosen, met = [], 0
        for index, is_needed in enumerate(needed):
            if is_needed:
                chosen.append(index)
                continue
            met += 1
            if met * allowed // others > (met - 1) * allowed // others:  # evenly among them
                chosen.append(index)
        return chosen

    def _take(self, count: int) -> int:
        """Take room for vectors; returns for how many there is some."""
        with self._lock:
            now = time.monotonic()
            self._left = min(self._most, self._left + (now - self._at) * self.newest / _SPAN_S)
            self._at = now
            taken = min(count, int(self._left))
            self._left -= taken
        return taken

    def _share(self, session: Session) -> float:
        """The greatest share at which a document may be drawn for an audit now."""
        if self._are_first and intake.are_more(session, self.audits.documents):
            self._are_first = False
        return max(self.audits.first, self.audits.later) if self._are_first else self.audits.later
