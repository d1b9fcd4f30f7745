"""Waiting out an outage of Redis."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import redis

from worker.consumer import Outage

log = logging.getLogger(__name__)
T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - not an error: the wait was ended by a stop
    """The process stops; what it holds stays pending and is taken over."""


def insist(call: Callable[[], T], give_up: Callable[[], bool] = lambda: False) -> T:
    """Call until Redis answers, with back-off.

    Raises:
        Stopped: ``give_up`` said so.
    """
    pause = 0.05
    while True:
        try:
            return call()
        except (*Outage, redis.exceptions.ResponseError) as error:
            # A refusal is waited out too: a full or read-only Redis heals, and the commit stands already.
            if give_up():
                raise Stopped from None
            log.warning("Redis is away (%s); trying again in %.2f s", error, pause)
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
