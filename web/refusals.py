"""Refused requests: counted in memory, and written to the log and the audit log every two seconds.

Refusing a request costs no SQL statement, so a caller who is refused often slows down nobody.
"""

import logging
import threading
from collections import Counter

from sqlalchemy.exc import SQLAlchemyError

from db.queries import audit
from db.queries.audit import ELSEWHERE, Refusal
from db.session import session
from sortline.errors import TransientError
from sortline.postgres_address import PostgresAddress

log = logging.getLogger(__name__)
_EVERY_S = 2.0
_MOST = 1000  # kinds of refusals that are kept in memory


class Refusals:
    """Counts refusals and writes them, in a thread of its own between `start` and `stop`."""

    def __init__(self, database: PostgresAddress) -> None:
        self.database = database
        self._counts: Counter[Refusal] = Counter()
        self._unwritten: Counter[Refusal] = Counter()
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)

    def note(self, actor: str, action: str, subject: str, address: str) -> None:
        """Count a refusal; ``subject`` must be one of a bounded set, as routes are."""
        refusal = Refusal(actor, action, subject, address)
        with self._lock:
            if len(self._counts) >= _MOST and refusal not in self._counts:
                refusal = refusal._replace(address=ELSEWHERE)
            self._counts[refusal] += 1

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, then stop."""
        self._ends.set()
        self._thread.join()

    def write(self) -> None:
        """Write what was counted to the log and to Postgres; what Postgres can't take is kept for later."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        for refusal, times in counts.items():
            log.warning("%s: %s, %s, from %s, %d times", *refusal, times)
        self._unwritten = Counter(dict((self._unwritten + counts).most_common(_MOST)))
        if not self._unwritten:
            return
        try:
            with session(self.database) as opened:
                audit.count(opened, self._unwritten)
                opened.commit()
        except (SQLAlchemyError, TransientError) as error:
            log.warning("the audit log can't be written now: %s", type(error).__name__)
            return
        self._unwritten.clear()

    def _run(self) -> None:
        while not self._ends.wait(_EVERY_S):
            self.write()
        self.write()
