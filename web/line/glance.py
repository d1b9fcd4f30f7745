"""What the page on the line shows, read once every few seconds however many pages are open."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from db.queries import dead_letter_counts, team
from db.queries.status import Classified, classified, stored
from db.session import session
from monitoring.alarms import POSTGRES_AWAY, REDIS_AWAY, Alarm, disk_full, redis_refuses
from monitoring.status import line_status
from sortline.errors import RedisRefusesError, ServerUnreachableError
from sortline.queue import DocumentQueue
from sortline.settings import Settings

DAYS = 7
T = TypeVar("T")
_FIGURES_S, _HISTORY_S = 2.0, 5.0
_BUDGET_S = 0.5  # for counting, each time: with millions of documents, the older hours follow later
_LATE_COMMITS = timedelta(seconds=60)  # a transaction's rows have the time at which it began


class AwayError(ServerUnreachableError):
    """A server can't be reached; ``alarm`` says which."""

    def __init__(self, alarm: Alarm, because: Exception) -> None:
        super().__init__(str(because).partition("\n")[0])
        self.alarm = alarm


class History(NamedTuple):
    """What was done recently, oldest first; hours that are not counted yet are missing at the start."""

    minutes: list[tuple[datetime, Classified]]
    hours: list[tuple[datetime, Classified]]
    decisions: list[tuple[datetime, int]]
    dead: list[tuple[datetime, int]]
    stored: int
    exact: bool

    @property
    def whole(self) -> bool:
        """Whether every hour is counted."""
        return len(self.hours) == 24 * DAYS


class Recent(Generic[T]):
    """A value that is computed at most once in ``for_s`` seconds; meanwhile callers get it, or the error it raised."""

    def __init__(self, make: Callable[[], T], for_s: float) -> None:
        self._make = make
        self._for_s = for_s
        self._lock = threading.Lock()
        self._until = 0.0
        self._value: T | AwayError

    def get(self) -> T:
        """The value.

        Raises:
            AwayError: a server could not be reached.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._value = self._make()
                except AwayError as error:
                    self._value = error
                self._until = time.monotonic() + self._for_s
            if isinstance(self._value, AwayError):
                raise self._value.with_traceback(None)
            return self._value


class Counts:
    """Documents classified in each of the last ``count`` periods of ``width``; a completed period is counted once."""

    def __init__(self, width: timedelta, count: int) -> None:
        self.width = width
        self.count = count
        self._done: dict[datetime, Classified] = {}

    def newest(self, opened: Session, now: datetime) -> list[tuple[datetime, Classified]]:
        """Start and counts of each period, oldest first: the newest ones, as many as can be counted in half a second.

        The current period is left out, because it would look like a drop.
        """
        deadline = time.monotonic() + _BUDGET_S
        seconds = int(self.width.total_seconds())
        current = datetime.fromtimestamp(int(now.timestamp()) // seconds * seconds, UTC)
        starts = [current - self.width * i for i in range(1, self.count + 1)]
        found: dict[datetime, Classified] = {}
        for start in starts:
            known = self._done.get(start)
            if known is None and time.monotonic() > deadline:
                break
            found[start] = known or classified(opened, start, start + self.width)
        self._done = {start: each for start, each in found.items() if start + self.width < now - _LATE_COMMITS}
        return sorted(found.items())


class Glance:
    """The figures and the history of one line, for all pages that this process serves."""

    def __init__(self, settings: Settings, queue: DocumentQueue) -> None:
        self.settings = settings
        self.queue = queue
        self._minutes = Counts(timedelta(minutes=1), 60)
        self._hours = Counts(timedelta(hours=1), 24 * DAYS)
        self.figures = Recent(self._read_figures, _FIGURES_S)
        self.history = Recent(self._read_history, _HISTORY_S)

    def _read_figures(self) -> dict[str, Any]:
        def read(opened: Session) -> dict[str, Any]:
            try:
                return line_status(opened, self.queue, self.settings)
            except RedisRefusesError as error:
                raise AwayError(redis_refuses(f"Redis refuses commands of the web: {error.why}"), error) from None
            except ServerUnreachableError as error:
                full = "redis" in self.queue.full_embedded()
                raise AwayError(disk_full("redis") if full else REDIS_AWAY, error) from None

        return self._ask_postgres(read)

    def _read_history(self) -> History:
        now = datetime.now(UTC)
        days = [now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=i) for i in range(DAYS)][::-1]

        def read(opened: Session) -> History:
            decided, dead = team.decided_by_day(opened, DAYS), dead_letter_counts.by_day(opened, DAYS)
            return History(
                self._minutes.newest(opened, now),
                self._hours.newest(opened, now),
                [(day, decided.get(day, 0)) for day in days],
                [(day, dead.get(day, 0)) for day in days],
                *stored(opened),
            )

        return self._ask_postgres(read)

    def _ask_postgres(self, ask: Callable[[Session], T]) -> T:
        try:
            with session(self.settings.postgres_url) as opened:
                return ask(opened)
        except AwayError:
            raise
        except (ServerUnreachableError, OperationalError, InterfaceError) as error:
            full = False
            with suppress(ServerUnreachableError):
                full = "postgres" in self.queue.full_disks()
            raise AwayError(disk_full("postgres") if full else POSTGRES_AWAY, error) from None
