"""Metrics of every process in one place: each publishes its own to Redis, and any web process shows all of them.

So Prometheus has one target, whatever runs and wherever it runs (docs/decisions/0013-metrics.md).
"""

import logging
import os
import socket
import threading
import zlib
from collections.abc import Iterable
from typing import Any

import orjson
import redis
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sortline.expiring_key import set_expiring
from sortline.redis_address import RedisAddress

log = logging.getLogger(__name__)

CELERY_ROLES = ("worker", "trainer", "housekeeping", "beat")
ROLES = ("web", *CELERY_ROLES)
_EVERY_S = 5.0
_EXPIRES_S = 60  # longer than a scrape interval, so that a process's last figures are still seen
_SHOWN = ("sortline_", "process_")
_DEAF = 2.0  # messages to itself missed in a row: see sortline/watchdog.py and the alert SortlineConsumerDeaf


class Publisher:
    """Publishes this process's metrics under a key that expires; while Redis can't be reached, no count is lost.

    Args:
        role: what the process is, one of `ROLES`.
    """

    def __init__(self, address: RedisAddress, prefix: str, role: str) -> None:
        self.process = f"{role}@{socket.gethostname()}-{os.getpid()}"
        self._key = _key(prefix, self.process)
        self._client = redis.Redis.from_url(address.url, socket_timeout=5)
        self._stopping = threading.Event()

    def start(self) -> None:
        """Publish them every few seconds from now on."""
        threading.Thread(target=self._run, name="figures", daemon=True).start()

    def stop(self) -> None:
        """Publish them a last time."""
        self._stopping.set()
        self._publish()
        self._client.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._publish()
            self._stopping.wait(_EVERY_S)

    def _publish(self) -> None:
        try:
            # Compressed, because expiring keys are written to Redis' append-only file too.
            set_expiring(self._client, self._key, zlib.compress(orjson.dumps(_families(REGISTRY))), _EXPIRES_S)
        except (redis.exceptions.RedisError, OSError) as error:
            log.debug("metrics could not be published: %s", error)


def of_others(client: redis.Redis, prefix: str, process: str) -> dict[str, Any]:
    """The metrics that other processes published, by process, without ``process`` itself.

    Raises:
        redis.exceptions.RedisError, OSError: Redis can't be reached.
    """
    start = _key(prefix, "")
    keys = sorted(client.scan_iter(match=f"{start}*", count=1000))
    told = dict(zip((key.decode().removeprefix(start) for key in keys), client.mget(keys) if keys else (), strict=True))
    told.pop(process, None)
    found: dict[str, Any] = {}
    for name, raw in told.items():
        try:
            found |= {name: orjson.loads(zlib.decompress(raw))} if raw else {}
        except (zlib.error, ValueError):
            log.warning("no figures of %s: what stands under its key in Redis is something else", name)
    return found


def figure(told: dict[str, Any], sample: str, **labels: str) -> dict[str, float]:
    """One sample, by process."""
    return {
        process: value
        for process, families in told.items()
        for _, _, _, samples in families
        for name, given, value in samples
        if name == sample and labels.items() <= given.items()
    }


def deaf(told: dict[str, Any]) -> list[str]:
    """The Celery processes that run but take no messages."""
    return sorted(process for process, missed in figure(told, "sortline_consumer_unheard").items() if missed >= _DEAF)


def merged(told: dict[str, Any], process: str) -> Iterable[Metric]:
    """Metrics of all processes, this one's as they are now; each sample's label `process` names its process."""
    found: dict[str, Metric] = {}
    for name, families in {process: _families(REGISTRY), **told}.items():
        for family, documentation, kind, samples in families:
            metric = found.setdefault(family, Metric(family, documentation, kind))
            for sample, labels, value in samples:
                metric.add_sample(sample, {**labels, "process": name}, value)
    return found.values()


def _families(collector: Collector) -> list[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]:
    return [
        (
            metric.name,
            metric.documentation,
            metric.type,
            [(s.name, s.labels, s.value) for s in metric.samples if not s.name.endswith("_created")],
        )
        for metric in collector.collect()
        if metric.name.startswith(_SHOWN)
    ]


def _key(prefix: str, process: str) -> str:
    return f"{prefix}:metrics:{process}"
