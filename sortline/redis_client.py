"""How Sortline reaches its Redis: a client for the settings' address, and errors that say where and why."""

import re
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from sortline import disk
from sortline.errors import ConfigurationError, QueueFullError, RedisRefusesError, ServerUnreachableError
from sortline.redis_address import RedisAddress
from sortline.server_url import write_host

# Redis' errors while it can't or may not write: a replica, a full disk, a failover.
_CANNOT_WRITE = re.compile("MISCONF|ReadOnly|MasterDown|ClusterDown|NOREPLICAS|READONLY")
# Before this redis-py puts the start of a pipeline's command, and so of a document.
_BLAMED = "of pipeline caused error: "
_HINTS = {
    "EOF occurred in violation": "does it ask for a client's certificate (ssl_certfile and ssl_keyfile in the URL)?",
    "reset by peer": "does it speak TLS alone (rediss://)?",
    "WRONG_VERSION_NUMBER": "does it speak without TLS (redis://)?",
}


def connect(address: RedisAddress, **options: Any) -> redis.Redis:
    """A pooled client of that Redis; it connects on first use and retries a lost connection once."""
    merged: dict[str, Any] = {
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        # More would only make who asks wait for longer: each waits for a server that is silent.
        "retry": Retry(ExponentialBackoff(cap=1, base=0.05), 1),
        **options,
    }
    if address.socket is not None:
        merged.pop("socket_connect_timeout")
    return redis.Redis.from_url(address.url, **merged)


def as_text(value: object) -> str:
    """What Redis answered, which a client with another protocol gives as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def told(client: redis.Redis, section: str) -> dict[str, Any]:
    """A section of Redis' INFO; empty: this user may not ask, or the command was renamed, as on rented servers."""
    try:
        found: dict[str, Any] = client.info(section)
    except redis.exceptions.ResponseError as error:
        if isinstance(error, redis.exceptions.NoPermissionError) or "unknown command" in str(error):
            return {}
        raise
    return found


class reaching:  # noqa: N801 - reads as a word: with reaching(client): ...
    """Turns redis-py's errors into one line with the address: Redis can't be reached, is full, or refuses a command."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, redis.exceptions.OutOfMemoryError):
            raise QueueFullError("Redis is out of memory and accepts no documents; try again later", 10.0) from None
        if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError):
            raise ConfigurationError(f"Redis at {where(self.client)} refuses this user: {error}") from None
        if isinstance(error, redis.exceptions.ResponseError) and _CANNOT_WRITE.search(
            f"{type(error).__name__} {error}"
        ):
            if "No space left" in str(error):
                raise disk.full("redis") from None
            raise ServerUnreachableError(
                f"Redis at {where(self.client)} accepts no writes now: {named(error)}"
            ) from None
        if isinstance(error, redis.exceptions.ResponseError):
            why = named(error)
            raise RedisRefusesError(f"Redis at {where(self.client)} refuses a command: {why}", why) from None
        if isinstance(error, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError | OSError):
            raise ServerUnreachableError(f"Redis at {where(self.client)} can't be reached: {named(error)}") from None


def named(error: Exception) -> str:
    """What Redis or the connection says, and what may be behind it where the message does not say it."""
    said = str(error).rpartition(_BLAMED)[2]
    if said.startswith("DENIED"):  # protected mode: an essay
        said = said.partition(". ")[0]
    return said + "".join(f"; {hint}" for sign, hint in _HINTS.items() if sign in said)


def where(client: redis.Redis) -> str:
    """The server's address, without a password."""
    options = client.connection_pool.connection_kwargs
    return str(options.get("path") or write_host(str(options.get("host")), options.get("port")))


def is_redis_url(url: str) -> bool:
    """Whether the URL is for a Redis server of any kind."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and (scheme == "unix" or "redis" in scheme or "sentinel" in scheme)
