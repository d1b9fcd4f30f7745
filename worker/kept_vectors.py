"""Which documents' vectors a worker stores: all, but only some of the accepted ones where very many arrive."""

import threading
import time

import numpy as np
from numpy.typing import NDArray
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

    def choose(self, session: Session, accepted: NDArray[np.bool_], chances: NDArray[np.float64]) -> NDArray[np.intp]:
        """The indices of the documents whose vectors are stored.

        Args:
            accepted: (n,), whether the model accepts each document.
            chances: (n,), which draw documents for audits.
        """
        is_other = accepted & (chances >= self._share(session))
        others = int(is_other.sum())
        allowed = self._take(others)
        if allowed == others:
            return np.arange(len(accepted))
        met = np.cumsum(is_other)
        chosen = met * allowed // others > (met - 1) * allowed // others  # evenly among them
        return np.flatnonzero(~is_other | chosen)

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
