"""Does Redis answer and keep documents, and where is Celery's broker?"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sortline.cli.checks.finding import Finding, Level, is_elsewhere
from sortline.errors import SortlineError
from sortline.redis_address import RedisAddress
from sortline.settings import Settings

_REDIS = (6, 2)


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Whether the documents' Redis answers and keeps them, and whether the Celery processes report there.

    It takes the settings, because an address that can't be read is a finding too.
    """
    import redis

    from sortline.redis_check import check_documents
    from sortline.redis_client import connect, reaching, told

    try:
        check_documents(settings.redis)
        client = connect(settings.redis, socket_timeout=5)
    except SortlineError as error:
        yield Finding("Redis", "fail", str(error), "run `sortline up`, or set SORTLINE_REDIS_URL")
        return
    try:
        with reaching(client):
            info = told(client, "server")
            yield _version(str(info.get("redis_version", "")), info.get("valkey_version"))
            yield from _durability(client, settings.require_durable_redis)
            yield from _tls("Redis", settings.redis, settings.redis_ca_file)
            yield from _processes(client, settings.prefix)
    except (SortlineError, redis.exceptions.RedisError) as error:
        yield Finding("Redis", "fail", str(error), "run `sortline up`, or set SORTLINE_REDIS_URL")
    finally:
        client.close()


def check_celery_broker(settings: Settings) -> Iterator[Finding]:
    """Whether Celery's broker answers, and where it is."""
    from sortline.redis_check import check_broker

    name = "Celery's broker"
    try:
        check_broker(settings.broker)
        documents, broker = settings.redis, settings.celery_broker
    except SortlineError as error:
        advice = "check SORTLINE_BROKER_URL and SORTLINE_BROKER_DATABASE; without the broker no training starts"
        yield Finding(name, "fail", str(error), advice)
        return
    shared = broker.where == documents.where and broker.database == documents.database
    yield Finding(name, "ok", f"{broker}, the same database as the documents" if shared else str(broker))
    if settings.broker_url:
        yield from _tls(name, broker, settings.redis_ca_file)


def _tls(name: str, address: RedisAddress, authority: Path | None) -> Iterator[Finding]:
    """Whether the connection is encrypted and verified."""
    if address.tls and address.verification == "none":
        advice = "remove ssl_cert_reqs=none from the URL, and set SORTLINE_REDIS_CA_FILE"
        yield Finding(f"{name} TLS", "warn", "encrypted, certificate not verified (ssl_cert_reqs=none)", advice)
    elif address.tls:
        yield Finding(f"{name} TLS", "ok", f"encrypted, certificate verified by {address.authority}")
    elif authority is not None:
        yield Finding(f"{name} TLS", "warn", "not encrypted, though SORTLINE_REDIS_CA_FILE is set", "use rediss://")
    elif address.socket is None and is_elsewhere(address.host):
        advice = "use rediss:// in the URL"
        yield Finding(f"{name} TLS", "warn", "not encrypted: others on the network can read texts", advice)


def _version(text: str, valkey: str | None) -> Finding:
    if valkey:
        return Finding("Redis", "ok", f"Valkey {valkey}, compatible with Redis {text}")
    if not text:
        return Finding("Redis", "warn", "its version is unknown: INFO is refused", "make sure it is 6.2 or newer")
    if tuple(int(part) for part in text.split(".")[:2]) < _REDIS:
        return Finding("Redis", "fail", text, "use Redis 6.2 or newer, or Valkey")
    return Finding("Redis", "ok", text)


def _durability(client: Any, required: bool) -> Iterator[Finding]:
    """Whether the settings of Redis keep documents over a restart and a full memory."""
    import redis

    from sortline.redis_client import as_text

    lost: Level = "fail" if required else "warn"
    checks: tuple[tuple[str, str, Level, str], ...] = (
        ("appendonly", "yes", lost, "without it a restart loses documents, and the HTTP API accepts none"),
        (
            "appendfsync",
            "always",
            lost,
            "without it a power cut loses a second of documents; the HTTP API then waits for the disk (Redis 7.2)",
        ),
        ("maxmemory-policy", "noeviction", lost, "without it a full Redis drops documents"),
        (
            "aof-use-rdb-preamble",
            "no",
            "warn",
            "erased texts stay in the file until their neighbours are erased",
        ),
    )
    for name, wanted, level, why in checks:
        try:
            value = client.config_get(name).get(name)
        except redis.exceptions.ResponseError:
            yield Finding(f"Redis {name}", "warn", "can't be checked: CONFIG is refused", f"make sure it is {wanted}")
            continue
        found = as_text(value)
        if found == wanted:
            yield Finding(f"Redis {name}", "ok", found)
        else:
            yield Finding(f"Redis {name}", level, found, f"set {name} {wanted}; {why}")


def _processes(client: Any, prefix: str) -> Iterator[Finding]:
    """Whether each Celery process that reported in the last minute, on any machine, takes messages."""
    if not find_spec("prometheus_client"):
        return
    from sortline.metrics import CELERY_ROLES
    from sortline.published import deaf, of_others

    told = of_others(client, prefix, "")
    for process in deaf(told):
        advice = "it ends itself within half a minute; if nothing restarts it, start it yourself"
        yield Finding("Celery", "fail", f"{process} takes no messages from its queues", advice)
    running = {process.partition("@")[0] for process in told}
    missing = [role for role in CELERY_ROLES if role not in running]
    if missing:
        advice = "start them with `sortline up`, or as docs/operators.md says"
        yield Finding("Celery", "warn", f"no report in the last minute from: {', '.join(missing)}", advice)
    elif not deaf(told):
        yield Finding("Celery", "ok", f"running: {', '.join(CELERY_ROLES)}")
