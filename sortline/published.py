"""The figures that the processes published to Redis (sortline/metrics.py), for whoever reads them.

By itself, because publishing needs prometheus_client and reading does not.
"""

import logging
import zlib
from collections.abc import Mapping
from typing import Any

import orjson
import redis

log = logging.getLogger(__name__)

_DEAF = 2.0  # messages to itself missed in a row: see sortline/watchdog.py and the alert SortlineConsumerDeaf


def key(prefix: str, process: str) -> str:
    """The Redis key under which a process publishes."""
    return f"{prefix}:metrics:{process}"


def of_others(client: redis.Redis, prefix: str, process: str) -> dict[str, Any]:
    """The metrics that other processes published, by process, without ``process`` itself.

    Raises:
        redis.exceptions.RedisError, OSError: Redis can't be reached.
    """
    start = key(prefix, "")
    keys = sorted(client.scan_iter(match=f"{start}*", count=1000))
    told = dict(
        zip((name.decode().removeprefix(start) for name in keys), client.mget(keys) if keys else (), strict=True)
    )
    told.pop(process, None)
    found: dict[str, Any] = {}
    for name, raw in told.items():
        try:
            found |= {name: orjson.loads(zlib.decompress(raw))} if raw else {}
        except (zlib.error, ValueError):
            log.warning("no figures of %s: what stands under its key in Redis is something else", name)
    return found


def figure(told: Mapping[str, Any], sample: str, **labels: str) -> dict[str, float]:
    """One sample, by process."""
    return {
        process: value
        for process, families in told.items()
        for _, _, _, samples in families
        for name, given, value in samples
        if name == sample and labels.items() <= given.items()
    }


def deaf(told: Mapping[str, Any]) -> list[str]:
    """The Celery processes that run but take no messages."""
    return sorted(process for process, missed in figure(told, "sortline_consumer_unheard").items() if missed >= _DEAF)
