"""Enter documents into the search index, in a thread of its own: nothing else that housekeeping does waits for it.

An index entry costs Postgres more than storing the document. While the line is late, its documents go first: indexing
then rests three times as long as it works, and search falls behind (docs/decisions/0037-search-index.md).
"""

import logging
import threading
import time

from sqlalchemy.exc import DBAPIError

from db.queries.search_index import index_batch
from db.reading import first_line
from db.session import session
from sortline.errors import ServerUnreachableError, TransientError
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import LANES, Settings

log = logging.getLogger(__name__)

_LOOKS_EVERY_S = 1.0
_LATE_S, _LATE_DOCUMENTS = 1.0, 1_000
_RESTS = 3


class Indexing:
    """Indexes what waits, batch after batch, each in one transaction; what is not committed still waits."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexing", daemon=True)

    def start(self) -> None:
        """Begin to index, and look every second for what is new; again: does nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Begin no further batch, and wait for the one under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def index_all(self) -> int:
        """Index until nothing waits; returns the number of documents.

        Raises:
            PostgresUnreachableError: Postgres can't be reached.
            DBAPIError: it failed.
        """
        indexed = 0
        with connect(self.settings.redis) as client:
            queue = DocumentQueue(client, self.settings)
            while not self._stopping.is_set():
                began = time.monotonic()
                count = self._index_batch()
                indexed += count
                if not count:
                    break
                if is_late(queue):
                    self._stopping.wait(_RESTS * (time.monotonic() - began))
        return indexed

    def _run(self) -> None:
        while not self._stopping.wait(_LOOKS_EVERY_S):
            try:
                self.index_all()
            except (TransientError, DBAPIError) as error:
                log.warning("documents can't enter the search index now: %s", first_line(error))
            except Exception:  # whatever it is, this thread must not end: nobody would start it again
                log.exception("documents can't enter the search index")

    def _index_batch(self) -> int:
        with session(self.settings.postgres_url) as opened:
            count = index_batch(opened)
            opened.commit()
        return count


def is_late(queue: DocumentQueue) -> bool:
    """Whether a lane has more documents than its workers take at once, and the oldest has waited for a second."""
    try:
        lanes = [queue.lane(lane) for lane in LANES]
    except ServerUnreachableError:
        return False  # nothing is classified meanwhile
    return any(lane.backlog > _LATE_DOCUMENTS and (lane.oldest_s or 0) > _LATE_S for lane in lanes)
