"""Enter documents into the search index, in a thread of its own: nothing else that housekeeping does waits for it.

An index entry costs Postgres more than storing the document. While the line is late, its documents go first: indexing
then rests three times as long as it works, and search falls behind (docs/decisions/0036-search-index.md).
"""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy.exc import DBAPIError

from db.queries.search_index import index_batch
from db.session import session
from sortline.errors import ServerUnreachableError, TransientError
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import LANES, Settings

log = logging.getLogger(__name__)

_LATE_S, _LATE_DOCUMENTS = 1.0, 1_000
_RESTS = 3


class Indexing:
    """Indexes what waits, batch after batch, each in one transaction; what is not committed still waits."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="indexing")
        self._running: Future[int] | None = None
        self._stopping = threading.Event()

    def begin(self) -> Future[int]:
        """Begin to index until nothing waits, unless that is under way; the result is the number of documents."""
        if self._running is None or self._running.done():
            self._running = self._pool.submit(self._index_safely)
        return self._running

    def close(self) -> None:
        """Begin no further batch, and wait for the one under way."""
        self._stopping.set()
        self._pool.shutdown()

    def _index_safely(self) -> int:
        try:
            return self._index()
        except (TransientError, DBAPIError) as error:
            log.warning("documents can't enter the search index now: %s", error)
        except Exception:  # nobody asks for the result: it must not fail in silence
            log.exception("documents can't enter the search index")
        return 0

    def _index(self) -> int:
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
