"""A server that is away, or refuses: that is waited out, and what Redis refuses is told."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import redis
from prometheus_client import Counter

log = logging.getLogger(__name__)
T = TypeVar("T")

Outage = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
# What is waited out. A refusal too: a full or read-only Redis heals, a key of a wrong type is mended by a person.
Unanswered = (*Outage, redis.exceptions.ResponseError)
REFUSALS = Counter("sortline_redis_refusals", "Commands of a worker that Redis refused, and that it tries again")
_GRACE_S = 5.0
_FRESH_S = 20.0  # longer than a time-out and the pause between two tries


class Stopped(Exception):  # noqa: N818 - not an error: the wait was ended by a stop
    """The process stops; what it holds stays pending and is taken over."""


class Refusals:
    """What Redis last did not do for this process; every thread tells it here."""

    def __init__(self) -> None:
        self._refused = (float("-inf"), "")
        self._unanswered_at = float("-inf")

    def note(self, error: BaseException) -> str:
        """Note why Redis did not do what it was asked for; returns it in words."""
        self._unanswered_at = time.monotonic()
        if not isinstance(error, redis.exceptions.ResponseError):
            return f"Redis is away ({error})"
        REFUSALS.inc()
        self._refused = (self._unanswered_at, str(error))
        return f"Redis refuses ({error})"

    def last(self) -> str | None:
        """What it refused within the last seconds, and so refuses still."""
        since, why = self._refused
        return why if time.monotonic() - since < _FRESH_S else None

    def is_unanswered(self) -> bool:
        """Whether it was away, or refused something, within the last seconds."""
        return time.monotonic() - self._unanswered_at < _FRESH_S


REFUSED = Refusals()


class Grace:
    """How long a stopping process waits for a server that is away."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self) -> None:
        """The process stops from now on."""
        self._since = time.monotonic()

    def is_over(self) -> bool:
        """Whether it has waited long enough."""
        return self._since is not None and time.monotonic() - self._since > _GRACE_S


def of_redis(error: Exception) -> str | None:
    """Why Redis did not answer, noted; None: it has nothing to do with Redis."""
    return REFUSED.note(error) if isinstance(error, Unanswered) else None


def insist(
    call: Callable[[], T],
    give_up: Callable[[], bool] = lambda: False,
    outage: Callable[[Exception], str | None] = of_redis,
) -> T:
    """Call until the server answers, with back-off.

    Args:
        outage: why a server did not answer; None of an error that is no outage, which is raised.

    Raises:
        Stopped: ``give_up`` said so.
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
