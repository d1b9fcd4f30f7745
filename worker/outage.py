"""Wait out servers that are unreachable or refuse commands, and note what Redis refused."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import redis
from prometheus_client import Counter

log = logging.getLogger(__name__)
T = TypeVar("T")

Outage = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
# The worker waits these out. Refusals too: a full or read-only Redis recovers, and a person can fix a key of the wrong
# type.
Unanswered = (*Outage, redis.exceptions.ResponseError)
REFUSALS = Counter("sortline_redis_refusals", "Commands that Redis refused and that the worker retries")
_GRACE_S = 5.0
_FRESH_S = 20.0  # longer than a timeout plus the pause between two attempts


class Stopped(Exception):  # noqa: N818 - not an error: the process is stopping
    """The process is stopping; what it holds stays pending, and another worker takes it over."""


class Refusals:
    """The last failure and refusal of Redis that any thread of this process met."""

    def __init__(self) -> None:
        self._refused = (float("-inf"), "")
        self._unanswered_at = float("-inf")

    def note(self, error: BaseException) -> str:
        """Note why Redis did not carry out a command; returns the reason in words."""
        self._unanswered_at = time.monotonic()
        if not isinstance(error, redis.exceptions.ResponseError):
            return f"Redis can't be reached ({error})"
        REFUSALS.inc()
        self._refused = (self._unanswered_at, str(error))
        return f"Redis refuses a command ({error})"

    def last(self) -> str | None:
        """The last refusal, if it was within the last 20 seconds."""
        since, why = self._refused
        return why if time.monotonic() - since < _FRESH_S else None

    def is_unanswered(self) -> bool:
        """Whether Redis could not be reached or refused a command within the last 20 seconds."""
        return time.monotonic() - self._unanswered_at < _FRESH_S


REFUSED = Refusals()


class Grace:
    """The time for which a stopping process waits for a server that can't be reached."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self) -> None:
        """Start the time: the process is stopping."""
        self._since = time.monotonic()

    def is_over(self) -> bool:
        """Whether the process has waited long enough."""
        return self._since is not None and time.monotonic() - self._since > _GRACE_S


def of_redis(error: Exception) -> str | None:
    """Note and return why Redis did not carry out a command; None: the error is not about Redis."""
    return REFUSED.note(error) if isinstance(error, Unanswered) else None


def insist(
    call: Callable[[], T],
    give_up: Callable[[], bool] = lambda: False,
    outage: Callable[[Exception], str | None] = of_redis,
) -> T:
    """Call until the server answers, with back-off.

    Args:
        outage: returns why a server did not answer; None: the error is not an outage, and is raised.

    Raises:
        Stopped: ``give_up`` returned true.
    """
    pause = 0.05
    while True:
        try:
            return call()
        except Exception as error:
            why = outage(error)
            if why is None:
                raise
            if give_up():
                raise Stopped from None
            log.warning("%s; trying again in %.2f s", why, pause)
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
