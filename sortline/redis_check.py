"""Checks whether a Redis can serve Sortline; every process does this when it starts, and `sortline doctor` too."""

from collections.abc import Sequence

import redis

from sortline.errors import ConfigurationError, ServerUnreachableError
from sortline.redis_address import Broker, RedisAddress
from sortline.redis_client import named, told

_WAIT_S = 5.0
# Celery's keys have many names: queues with a suffix for each priority, names of processes with a suffix, ...
_OF_CELERY = ("housekeeping\x06\x163", "_kombu.binding.worker", "unacked_index", "host.celery.pidbox", "celeryev.id")
_OTHER_MODES = {"cluster": "a Redis Cluster", "sentinel": "a Redis Sentinel"}


def check_documents(address: RedisAddress) -> None:
    """Check that the documents' Redis answers and is one that Sortline can use.

    Raises:
        ConfigurationError: it is refused: somebody has to change something.
        ServerUnreachableError: it can't be reached now.
    """
    _check(address, f"Redis at {address} (SORTLINE_REDIS_URL)")


def check_broker(broker: Broker) -> None:
    """Check that Celery's broker answers and is one that Sortline can use.

    Raises:
        ConfigurationError: it is refused: somebody has to change something.
        ServerUnreachableError: it can't be reached now.
    """
    _check(broker.address, str(broker), _OF_CELERY)


def _check(address: RedisAddress, place: str, keys: Sequence[str] = ()) -> None:
    options = {} if address.socket is not None else {"socket_connect_timeout": _WAIT_S}
    client = redis.Redis.from_url(address.url, **{"socket_timeout": _WAIT_S, "retry": None, **options})
    try:
        client.ping()
        if keys:
            client.exists(*keys)  # a user without the right to one is refused
        mode, replication = told(client, "server").get("redis_mode", ""), told(client, "replication")
    except (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        needs = (
            "; Celery's user needs the right to all keys (~*) and channels (&*)"
            if keys and "keys" in str(error)
            else ""
        )
        raise ConfigurationError(f"{place} refuses this user: {error}{needs}") from None
    except redis.exceptions.ResponseError as error:
        if "DB index" in str(error):
            raise ConfigurationError(
                f"{place} has no database {address.database}; set SORTLINE_BROKER_DATABASE to one that exists; it may "
                "be the one in SORTLINE_REDIS_URL"
            ) from None
        raise ServerUnreachableError(f"{place} can't be used now: {named(error)}") from None
    except (redis.exceptions.RedisError, OSError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise ConfigurationError(
                f"{place} has a certificate that can't be verified ({error}); {_mend(error)}"
            ) from None
        raise ServerUnreachableError(f"{place} can't be reached: {named(error)}") from None
    finally:
        client.close()
    if mode in _OTHER_MODES:
        raise ConfigurationError(f"{place} is {_OTHER_MODES[mode]}, which Sortline does not support; give one server")
    if replication.get("role") == "slave" and replication.get("slave_read_only"):  # it may be promoted yet
        raise ServerUnreachableError(f"{place} is a replica, which accepts no writes; give the address of the primary")


def _mend(error: Exception) -> str:
    """What to do about a certificate that can't be verified."""
    if "expired" in str(error):
        return "renew the server's certificate"
    if "mismatch" in str(error):
        return "write the server in the URL with a name that is in its certificate"
    return "set SORTLINE_REDIS_CA_FILE to the certificates of the authority that signed it"
