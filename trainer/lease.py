"""A claimed training run: a thread sends heartbeats to the database, and notices if this process lost the run."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import DBAPIError

from db.queries import training_runs
from db.session import session
from sortline.errors import ConflictError, TransientError
from sortline.postgres_address import PostgresAddress

log = logging.getLogger(__name__)

BEAT_EVERY_S = 2.0

Report = Callable[[dict[str, Any]], None]


class Lease:
    """Keeps a running run's heartbeat and progress while the block runs.

    Args:
        token: fencing token that the claim gave: only its holder may write to the run.
        report: called with each progress too.
    """

    def __init__(self, postgres: PostgresAddress, run_id: int, token: int, report: Report) -> None:
        self.run_id = run_id
        self.token = token
        self._postgres = postgres
        self._on_progress = report
        self._check: Callable[[], None] = lambda: None
        self._progress: dict[str, Any] = {}
        self._lost = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name=f"lease-{run_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def report(self, stage: str, **progress: Any) -> None:
        """Report progress; it reaches the database with the next heartbeat.

        Raises:
            ConflictError: the run was cancelled, or given to another process.
        """
        self._progress = {"stage": stage, **progress}
        self._on_progress(self._progress)
        self._check()
        if self._lost:
            raise ConflictError(self._lost)

    def counting(self, stage: str) -> Callable[[int, int], None]:
        """What a stage that can be counted calls with how much is done, and of how much."""
        return lambda done, of: self.report(stage, done=done, of=of)

    @contextmanager
    def watching(self, check: Callable[[], None]) -> Iterator[None]:
        """While the block runs, each report calls this check too, which may raise."""
        self._check = check
        try:
            yield
        finally:
            self._check = lambda: None

    def _beat_on(self) -> None:
        while not self._done.wait(BEAT_EVERY_S):
            try:
                with session(self._postgres) as opened:
                    ours = training_runs.beat(opened, self.run_id, self.token, self._progress)
                    opened.commit()
                    state = training_runs.get(opened, self.run_id).state
            except (TransientError, DBAPIError) as error:
                log.warning("heartbeat of training run %d: %s", self.run_id, error)
                continue
            if not ours:
                why = "was cancelled" if state == "cancelled" else "no longer belongs to this process"
                self._lost = f"training run {self.run_id} {why}"
                return
