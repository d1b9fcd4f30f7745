"""A full disk under Postgres or Redis: while it is full, the queue accepts no documents.

A worker notices it when Postgres refuses to write. Redis reports it, or exits with `appendfsync always` because it
must not continue; so the free space of the embedded servers' disks, which every process here can see, is checked too.
"""

import shutil
from pathlib import Path
from typing import Literal

import redis

from sortline.errors import DiskFullError
from sortline.expiring_key import set_expiring

Server = Literal["postgres", "redis"]
SERVERS: tuple[Server, ...] = ("postgres", "redis")

# Documents are refused this early so that workers can finish what they hold: a Postgres log segment has 16 MiB.
_LEAST_BYTES = 64 * 2**20
_TOLD_S = 10


def full(server: Server) -> DiskFullError:
    """The error for a producer."""
    message = f"The disk under {server.capitalize()} is full, so no documents are accepted until it has space"
    return DiskFullError(f"{message}; try again later with the same ids.", 10.0)


def embedded(data_dir: Path, *, postgres: bool, redis: bool) -> list[Server]:
    """Embedded servers whose disk has less than 64 MiB left.

    With an outside Redis this process may run on another machine than an embedded Postgres.

    Args:
        postgres: whether Postgres is embedded.
        redis: whether Redis is.
    """
    if not redis:
        return []
    servers = SERVERS if postgres else ("redis",)
    return [server for server in servers if _is_full(data_dir / server)]


def key(prefix: str) -> str:
    """The Redis key that exists while a worker finds Postgres' disk full."""
    return f"{prefix}:postgres-full"


def mark_postgres(client: redis.Redis, prefix: str, is_full: bool) -> None:
    """Mark Postgres' disk as full for ten seconds, or as no longer full."""
    if is_full:
        set_expiring(client, key(prefix), "1", _TOLD_S)
    else:
        client.delete(key(prefix))


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _LEAST_BYTES
    except OSError:
        return False  # it has never run here
