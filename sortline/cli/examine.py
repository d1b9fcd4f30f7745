"""Does this machine have what Sortline needs? Each check yields findings: ok, warn or fail, and what to do.

Each check imports what it checks: a doctor that needs all libraries could not report which is missing.
"""

import ipaddress
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sortline.errors import SortlineError
from sortline.listening import url_of
from sortline.postgres_address import PostgresAddress
from sortline.redis_address import RedisAddress
from sortline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Level = Literal["ok", "warn", "fail"]

_POSTGRES = 15
_REDIS = (6, 2)
_DISK_FAIL, _DISK_WARN = 2**30, 5 * 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, what was found, and what to do about it."""

    name: str
    level: Level
    found: str
    advice: str | None = None


def examine(settings: Settings) -> Iterator[Finding]:
    """Check everything, one finding after the other; nothing is changed."""
    yield Finding("Python", "ok", ".".join(map(str, sys.version_info[:3])))
    yield from _libraries()
    yield from _postgres(settings)
    yield from _redis(settings)
    yield from _broker(settings)
    yield _disk(settings.data_dir)
    yield _model_store(settings.models)
    yield from _accelerators()
    yield from _web(settings)
    yield from _base_model(settings)
    yield from _flower(settings)


def _libraries() -> Iterator[Finding]:
    """Whether each extra of the package is installed, missing, or installed in a version that does not fit."""
    if find_spec("packaging") is None:
        yield Finding("libraries", "warn", "can't be checked", "pip install packaging")
        return
    from packaging.requirements import Requirement

    wanted: dict[str, list[Requirement]] = {}
    for line in requires("sortline") or []:
        requirement = Requirement(line)
        extra = str(requirement.marker).rpartition("==")[2].strip(" \"'") if requirement.marker else ""
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):  # not for another Python
            wanted.setdefault(extra, []).append(requirement)
    for extra, requirements in wanted.items():
        if extra == "dev":
            continue
        name = f"libraries of {extra}" if extra else "libraries"
        install = f"pip install 'sortline[{extra}]'" if extra else "pip install sortline"
        have = {r.name: _installed(r.name) for r in requirements if r.name != "sortline"}
        missing = [library for library, found in have.items() if found is None]
        wrong = [f"{r.name} {have[r.name]} does not meet {r.specifier}" for r in requirements
                 if have.get(r.name) and not r.specifier.contains(str(have[r.name]), prereleases=True)]  # fmt: skip
        if wrong:
            yield Finding(name, "fail", ", ".join(wrong), install)
        elif missing and not extra:
            yield Finding(name, "fail", f"missing: {', '.join(missing)}", install)
        elif missing:
            yield Finding(name, "warn", f"missing: {', '.join(missing)}", f"{install}, if this machine should run it")
        else:
            yield Finding(name, "ok", ", ".join(f"{library} {found}" for library, found in have.items()))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _postgres(settings: Settings) -> Iterator[Finding]:
    if not (find_spec("sqlalchemy") and find_spec("psycopg") and find_spec("alembic")):
        yield Finding("Postgres", "warn", "can't be checked: there is no driver", "pip install 'sortline[database]'")
        return
    from db.session import session

    try:
        with session(settings.postgres_url) as opened:
            yield from _postgres_findings(opened, settings)
            yield from _way_to_postgres(opened, settings.postgres_url)
    except SortlineError as error:
        yield Finding("Postgres", "fail", str(error), "run `sortline up`, or set SORTLINE_DATABASE_URL")


def _way_to_postgres(opened: "Session", address: PostgresAddress) -> Iterator[Finding]:
    """Whether there is a pooler before Postgres, and whether the connection is encrypted and verified."""
    from db.session import is_encrypted, is_pooled

    if is_pooled(opened):
        found = "there is a pooler (such as PgBouncer); prepared statements are not used"
        yield Finding("Postgres pooler", "ok", found)
    mode = address.parameters.get("sslmode", "prefer")
    verified = mode in {"verify-ca", "verify-full"} or address.parameters.get("sslrootcert") == "system"
    advice = "add ?sslmode=verify-full&sslrootcert=FILE to SORTLINE_DATABASE_URL"
    if is_encrypted(opened):
        if verified:
            yield Finding("Postgres TLS", "ok", f"encrypted, certificate verified ({mode})")
        else:
            yield Finding("Postgres TLS", "warn", f"encrypted, certificate not verified (sslmode={mode})", advice)
    elif any(_is_elsewhere(host) for host in address.hosts):
        yield Finding("Postgres TLS", "warn", "not encrypted: others on the network can read texts", advice)


def _postgres_findings(opened: "Session", settings: Settings) -> Iterator[Finding]:
    from db.queries import model_versions, server, webhooks
    from migrations.upgrade import newest_revision

    major, minor = server.version(opened)
    fits: Level = "ok" if major >= _POSTGRES else "fail"
    yield Finding("Postgres", fits, f"{major}.{minor}", None if fits == "ok" else f"use Postgres {_POSTGRES} or newer")
    for name in ("fsync", "synchronous_commit"):
        value = server.setting(opened, name)
        if value in {"off", "local"}:  # local: a standby may lack what was acknowledged
            yield Finding(f"Postgres {name}", "fail", value, f"set {name} = on; as it is, a crash loses predictions")
        else:
            yield Finding(f"Postgres {name}", "ok", value)
    revision, newest = server.revision(opened), newest_revision()
    if revision != newest:
        yield Finding("schema", "fail", f"{revision or 'none'}, but Sortline needs {newest}", "run `sortline migrate`")
        return
    yield Finding("schema", "ok", str(revision))
    active = model_versions.active(opened)
    if active is None:
        yield Finding(
            "active model", "warn", "none, so documents wait", "run `sortline import FILE`, then `sortline train`"
        )
    else:
        yield Finding("active model", "ok", f"version {active.id}")
    yield from _texts(opened, settings.base_model)
    ill = [webhook for webhook, _ in webhooks.listing(opened) if webhook.state != "active"]
    for webhook in ill:
        why = webhook.paused_because if webhook.paused_at else webhook.last_error
        advice = "fix that, then run `sortline webhooks test` and `sortline webhooks resume`"
        yield Finding(f"webhook {webhook.name}", "warn", f"{webhook.state}: {why}", advice)


def _texts(opened: "Session", base_model: str) -> Iterator[Finding]:
    """Whether the base model can read the newest documents; no finding if this machine can't tell."""
    from db.queries.labelled import newest_texts
    from trainer.data.base_texts import MOST_TEXTS, base_readability

    readable = base_readability(newest_texts(opened, MOST_TEXTS), base_model)
    if readable is not None:
        from classifier.readable import ADVICE

        poor = readable.is_poor
        yield Finding("texts", "warn" if poor else "ok", readable.finding(), ADVICE if poor else None)


def _base_model(settings: Settings) -> Iterator[Finding]:
    """Whether trainings can start from the base model; no finding if this machine can't train."""
    if not (find_spec("transformers") and find_spec("torch") and find_spec("accelerate")):
        return
    from classifier.base_models import base_model_here
    from trainer.fine_tuning.base_check import check_folder

    name = settings.base_model
    try:
        folder = base_model_here(name)
        if folder is None:
            yield Finding(
                "base model", "warn", f"{name} is not on this machine", "`sortline train` will download it from the hub"
            )
            return
        check_folder(folder, name)
    except SortlineError as error:
        yield Finding("base model", "fail", str(error), "set SORTLINE_BASE_MODEL, or use `sortline train --base-model`")
    else:
        yield Finding("base model", "ok", name)


def _redis(settings: Settings) -> Iterator[Finding]:
    import redis

    from sortline.redis_check import check_documents
    from sortline.redis_client import connect, reaching

    try:
        check_documents(settings)
        client = connect(settings.redis, socket_timeout=5)
    except SortlineError as error:
        yield Finding("Redis", "fail", str(error), "run `sortline up`, or set SORTLINE_REDIS_URL")
        return
    try:
        with reaching(client):
            info = client.info("server")
            yield _redis_version(str(info["redis_version"]), info.get("valkey_version"))
            yield from _redis_settings(client, settings)
            yield from _way_to_redis("Redis", settings.redis, settings)
            yield from _processes(client, settings)
    except (SortlineError, redis.exceptions.RedisError) as error:
        yield Finding("Redis", "fail", str(error), "run `sortline up`, or set SORTLINE_REDIS_URL")
    finally:
        client.close()


def _broker(settings: Settings) -> Iterator[Finding]:
    """Whether Celery's broker answers, and where it is."""
    from sortline.redis_check import check_broker

    name = "Celery's broker"
    try:
        check_broker(settings)
        documents, broker = settings.redis, settings.celery_broker
    except SortlineError as error:
        advice = "check SORTLINE_BROKER_URL and SORTLINE_BROKER_DATABASE; without the broker no training starts"
        yield Finding(name, "fail", str(error), advice)
        return
    shared = broker.where == documents.where and broker.database == documents.database
    yield Finding(name, "ok", f"{broker}, the same database as the documents" if shared else str(broker))
    if settings.broker_url:
        yield from _way_to_redis(name, broker, settings)


def _way_to_redis(name: str, address: RedisAddress, settings: Settings) -> Iterator[Finding]:
    """Whether the connection is encrypted and verified."""
    if address.tls and address.verification == "none":
        advice = "remove ssl_cert_reqs=none from the URL, and set SORTLINE_REDIS_CA_FILE"
        yield Finding(f"{name} TLS", "warn", "encrypted, certificate not verified (ssl_cert_reqs=none)", advice)
    elif address.tls:
        yield Finding(f"{name} TLS", "ok", f"encrypted, certificate verified by {address.authority}")
    elif settings.redis_ca_file not in (None, Path()):
        yield Finding(f"{name} TLS", "warn", "not encrypted, though SORTLINE_REDIS_CA_FILE is set", "use rediss://")
    elif address.socket is None and _is_elsewhere(address.host):
        advice = "use rediss:// in the URL"
        yield Finding(f"{name} TLS", "warn", "not encrypted: others on the network can read texts", advice)


def _is_elsewhere(host: str) -> bool:
    """Whether the connection to a host leaves this machine; a name without a dot is another container on it."""
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return "." in host and not host.startswith(("/", "@"))


def _redis_version(text: str, valkey: str | None) -> Finding:
    if valkey:
        return Finding("Redis", "ok", f"Valkey {valkey}, compatible with Redis {text}")
    if tuple(int(part) for part in text.split(".")[:2]) < _REDIS:
        return Finding("Redis", "fail", text, "use Redis 6.2 or newer, or Valkey")
    return Finding("Redis", "ok", text)


def _redis_settings(client: Any, settings: Settings) -> Iterator[Finding]:
    import redis

    from sortline.redis_client import as_text

    lost: Level = "fail" if settings.require_durable_redis else "warn"
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


def _processes(client: Any, settings: Settings) -> Iterator[Finding]:
    """Whether each Celery process that reported in the last minute, on any machine, takes messages."""
    if not find_spec("prometheus_client"):
        return
    from sortline.metrics import CELERY_ROLES, deaf, of_others

    told = of_others(client, settings.prefix, "")
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


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free
    found = f"{free / 2**30:,.1f} GiB free in {folder}"
    if free >= _DISK_WARN:
        return Finding("disk", "ok", found)
    return Finding(
        "disk",
        "fail" if free < _DISK_FAIL else "warn",
        found,
        "free some space, or set SORTLINE_DATA_DIR to a folder on another disk",
    )


def _model_store(root: str) -> Finding:
    advice = "set SORTLINE_MODEL_STORE to a place that this user can write to"
    try:
        if "://" in root:
            _write_remote(root)
        else:
            with tempfile.TemporaryFile(dir=_existing(Path(root))):
                pass
    except (SortlineError, OSError) as error:
        return Finding("model store", "fail", f"{root} is not writable: {error}", advice)
    return Finding("model store", "ok", f"{root} is writable")


def _write_remote(root: str) -> None:
    from classifier.store_uri import reached

    with reached(root) as (file_system, path):
        file_system.makedirs(path, exist_ok=True)
        file_system.pipe_file(f"{path}/.sortline-doctor", b"")
        file_system.rm_file(f"{path}/.sortline-doctor")


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _accelerators() -> Iterator[Finding]:
    from classifier.engines import processor
    from sortline.logs import silence_telemetry

    silence_telemetry()
    if find_spec("torch"):
        yield Finding("torch", "ok", _torch())
    if find_spec("openvino"):
        import openvino

        yield Finding("OpenVINO", "ok", "devices: " + ", ".join(openvino.Core().available_devices))
    if not (find_spec("torch") or find_spec("openvino")):
        yield Finding("engine", "warn", "none: this machine can't classify", "pip install 'sortline[worker,cpu]'")
    if processor.has_bf16():
        yield Finding("processor", "ok", "computes bf16")
    else:
        yield Finding("processor", "warn", "has no bf16", "nothing to do; classifying takes about twice as long")


def _web(settings: Settings) -> Iterator[Finding]:
    """Whether the address that people use reaches the web through the proxy, path and TLS in front of it."""
    import httpx

    if not settings.web_url:
        return
    where = settings.web_address
    advice = (
        f"make the proxy pass {settings.web_path}/ to the web's port {settings.web_port} (docs/servers.md, Behind a "
        "proxy), or set SORTLINE_WEB_URL to the address that people use"
    )
    try:
        answer = httpx.get(f"{where}/health/live", timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        yield Finding("web", "warn", f"{where} can't be reached from this machine: {error}", advice)
        return
    if answer.is_success and answer.text.replace(" ", "") == '{"status":"ok"}':
        yield Finding("web", "ok", f"answers at {where}")
    elif answer.is_redirect:
        yield Finding("web", "warn", f"{where} redirects to {answer.headers['location']}", advice)
    else:
        yield Finding("web", "warn", f"{where}/health/live answers {answer.status_code}, not as the web does", advice)


def _flower(settings: Settings) -> Iterator[Finding]:
    """Whether a running Flower asks for a password: it can stop workers."""
    import httpx

    where = url_of(settings.flower_host, settings.flower_port)
    try:
        address = f"{where}{settings.flower_path}/workers"
        answer = httpx.get(address, timeout=3, follow_redirects=True, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL):
        return  # it is not running here
    if answer.status_code == 401:
        yield Finding("Flower", "ok", f"asks for a password at {where}")
    elif answer.is_success and "flower" in answer.text.lower():
        advice = "set SORTLINE_FLOWER_BASIC_AUTH to user:password, because Flower can stop workers"
        yield Finding("Flower", "warn", f"asks for no password at {where}", advice)


def _torch() -> str:
    import torch

    if not torch.cuda.is_available():
        return f"{torch.__version__}, no CUDA"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{torch.__version__}, CUDA on {', '.join(names)}"
