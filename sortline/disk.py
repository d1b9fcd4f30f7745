"""A full disk under Postgres or Redis: who notices it tells the doors, and they take no documents until it has room.

A worker notices by Postgres' refusal. Redis says so itself, or with `appendfsync always` ends, for it may not go on;
so the embedded servers' disks, which every process of this machine sees, are looked at as well.
"""

import shutil
from typing import Literal

import redis

from sortline.errors import DiskFullError
from sortline.settings import Settings

Server = Literal["postgres", "redis"]
SERVERS: tuple[Server, ...] = ("postgres", "redis")

# Documents stop this early, so that workers can still finish what is there: a segment of Postgres' log has 16 MiB.
_LEAST_BYTES = 64 * 2**20
_TOLD_S = 10


def full(server: Server) -> DiskFullError:
    """What a door answers."""
    message = f"The disk under {server.capitalize()} is full: nothing is taken until it has room"
    return DiskFullError(f"{message}; try again later with the same ids.", 10.0)


def embedded(settings: Settings) -> list[Server]:
    """Embedded servers whose disk has less than 64 MiB left.

    Who reaches an outside Redis may well run on another machine than an embedded Postgres.
    """
    return [server for server in SERVERS if settings.embedded_redis and _is_full(settings, server)]


def key(prefix: str) -> str:
    """Of what is there while a worker finds Postgres' disk full."""
    return f"{prefix}:postgres-full"


def tell(client: redis.Redis, prefix: str, is_full: bool) -> None:
    """Tell the doors that Postgres' disk is full, for ten seconds; or that it is not any more."""
    if is_full:
        client.set(key(prefix), 1, ex=_TOLD_S)
    else:
        client.delete(key(prefix))


def _is_full(settings: Settings, server: Server) -> bool:
    if server == "postgres" and not settings.embedded_postgres:
        return False
    try:
        return shutil.disk_usage(settings.data_dir / server).free < _LEAST_BYTES
    except OSError:
        return False  # it was never started here
