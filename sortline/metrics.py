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
from sortline.published import key
from sortline.redis_address import RedisAddress

log = logging.getLogger(__name__)

CELERY_ROLES = ("worker", "trainer", "housekeeping", "beat")
ROLES = ("web", *CELERY_ROLES)
_EVERY_S = 5.0
_EXPIRES_S = 60  # longer than a scrape interval, so that a process's last figures are still seen
_SHOWN = ("sortline_", "process_")


class Publisher:
    """Publishes this process's metrics under a key that expires; while Redis can't be reached, no count is lost.

    Args:
        role: what the process is, one of `ROLES`.
    """

    def __init__(self, address: RedisAddress, prefix: str, role: str) -> None:
        self.process = f"{role}@{socket.gethostname()}-{os.getpid()}"
        self._key = key(prefix, self.process)
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
