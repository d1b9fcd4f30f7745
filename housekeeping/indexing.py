"""Enter documents into the search index, in a thread of its own: nothing else that housekeeping does waits for it."""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy.exc import DBAPIError

from db.queries.search_index import index_batch
from db.session import session
from sortline.errors import TransientError
from sortline.postgres_address import PostgresAddress

log = logging.getLogger(__name__)


class Indexing:
    """Indexes what waits, batch after batch, each in one transaction; what is not committed still waits."""

    def __init__(self, postgres: PostgresAddress) -> None:
        self.postgres = postgres
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
        while not self._stopping.is_set():
            with session(self.postgres) as opened:
                count = index_batch(opened)
                opened.commit()
            indexed += count
            if not count:
                break
        return indexed
