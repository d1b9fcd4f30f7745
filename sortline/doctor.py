"""Is everything here as Sortline needs it? Each check is a finding: ok, warn or fail, and what to do.

Whatever is checked is imported where it is checked: a doctor that needs all libraries can't say which is missing.
"""

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
from sortline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Level = Literal["ok", "warn", "fail"]

_POSTGRES = 16
_REDIS = (6, 2)
_DISK_FAIL, _DISK_WARN = 2**30, 5 * 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do about it."""

    name: str
    level: Level
    found: str
    advice: str | None = None


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one finding after the other; nothing is changed."""
    yield Finding("Python", "ok", ".".join(map(str, sys.version_info[:3])))
    yield from _libraries()
    yield from _postgres(settings)
    yield from _redis(settings)
    yield _disk(settings.data_dir)
    yield _model_store(settings.models)
    yield from _accelerators()
    yield from _flower(settings)


def _libraries() -> Iterator[Finding]:
    """Each extra of the package: wholly installed, not at all, or in a version that does not fit."""
    if find_spec("packaging") is None:
        yield Finding("libraries", "warn", "not checkable", "pip install packaging")
        return
    from packaging.requirements import Requirement

    wanted: dict[str, list[Requirement]] = {}
    for line in requires("sortline") or []:
        requirement = Requirement(line)
        extra = str(requirement.marker).rpartition("==")[2].strip(" \"'") if requirement.marker else ""
        wanted.setdefault(extra, []).append(requirement)
    for extra, requirements in wanted.items():
        if extra == "dev":
            continue
        name = f"libraries of {extra}" if extra else "libraries"
        install = f"pip install 'sortline[{extra}]'" if extra else "pip install sortline"
        have = {r.name: _installed(r.name) for r in requirements if r.name != "sortline"}
        missing = [library for library, found in have.items() if found is None]
        wrong = [f"{r.name} {have[r.name]} is not {r.specifier}" for r in requirements
                 if have.get(r.name) and not r.specifier.contains(str(have[r.name]), prereleases=True)]  # fmt: skip
        if wrong:
            yield Finding(name, "fail", ", ".join(wrong), install)
        elif missing and not extra:
            yield Finding(name, "fail", f"missing: {', '.join(missing)}", install)
        elif missing:
            yield Finding(name, "warn", f"missing: {', '.join(missing)}", f"{install}, if this machine is to run it")
        else:
            yield Finding(name, "ok", ", ".join(f"{library} {found}" for library, found in have.items()))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _postgres(settings: Settings) -> Iterator[Finding]:
    if not (find_spec("sqlalchemy") and find_spec("psycopg") and find_spec("alembic")):
        yield Finding("Postgres", "warn", "not checkable: no driver", "pip install 'sortline[database]'")
        return
    from db.session import session

    try:
        with session(settings.postgres_url) as opened:
            yield from _postgres_findings(opened)
    except SortlineError as error:
        yield Finding("Postgres", "fail", str(error), "run `sortline up`, or set SORTLINE_DATABASE_URL")


def _postgres_findings(opened: "Session") -> Iterator[Finding]:
    from db.queries import model_versions, server, webhooks
    from migrations.upgrade import newest_revision

    major, minor = server.version(opened)
    fits: Level = "ok" if major >= _POSTGRES else "fail"
    yield Finding("Postgres", fits, f"{major}.{minor}", None if fits == "ok" else f"use {_POSTGRES} or newer")
    for name in ("fsync", "synchronous_commit"):
        value = server.setting(opened, name)
        if value in {"off", "local"}:  # local: a standby may lack what was acknowledged
            yield Finding(f"Postgres {name}", "fail", value, f"set {name} = on: a crash would lose predictions")
        else:
            yield Finding(f"Postgres {name}", "ok", value)
    revision, newest = server.revision(opened), newest_revision()
    if revision != newest:
        yield Finding("schema", "fail", f"{revision or 'none'}, needed is {newest}", "run `sortline migrate`")
        return
    yield Finding("schema", "ok", str(revision))
    active = model_versions.active(opened)
    if active is None:
        yield Finding("active model", "warn", "none: documents wait", "run `sortline import FILE`, `sortline train`")
    else:
        yield Finding("active model", "ok", f"version {active.id}")
    ill = [webhook for webhook, _ in webhooks.listing(opened) if webhook.state != "active"]
    for webhook in ill:
        why = webhook.paused_because if webhook.paused_at else webhook.last_error
        advice = "mend what it says, then `sortline webhooks test` and `resume`"
        yield Finding(f"webhook {webhook.name}", "warn", f"{webhook.state}, {why}", advice)


def _redis(settings: Settings) -> Iterator[Finding]:
    import redis

    from worker.queue import connect, reaching

    client = connect(settings, socket_timeout=5)
    try:
        with reaching(client):
            info = client.info("server")
            yield _redis_version(str(info["redis_version"]))
            yield from _redis_settings(client, settings)
            yield from _processes(client, settings)
    except (SortlineError, redis.exceptions.RedisError) as error:
        yield Finding("Redis", "fail", str(error), "run `sortline up`, or set SORTLINE_REDIS_URL")
    finally:
        client.close()


def _redis_version(text: str) -> Finding:
    if tuple(int(part) for part in text.split(".")[:2]) < _REDIS:
        return Finding("Redis", "fail", text, "use 6.2 or newer, or Valkey")
    return Finding("Redis", "ok", text)


def _redis_settings(client: Any, settings: Settings) -> Iterator[Finding]:
    import redis

    lost: Level = "fail" if settings.require_durable_redis else "warn"
    checks: tuple[tuple[str, str, Level, str], ...] = (
        ("appendonly", "yes", lost, "a restart would lose documents, and HTTP takes none"),
        ("appendfsync", "always", lost, "a power cut would lose a second of documents; HTTP waits for the disk (7.2)"),
        ("maxmemory-policy", "noeviction", lost, "a full Redis would drop documents"),
        ("aof-use-rdb-preamble", "no", "warn", "erased texts stay in the file until their neighbours are gone"),
    )
    for name, wanted, level, why in checks:
        try:
            value = client.config_get(name).get(name)
        except redis.exceptions.ResponseError:
            yield Finding(f"Redis {name}", "warn", "not checkable: CONFIG is refused", f"see that it is {wanted}")
            continue
        found = value.decode() if isinstance(value, bytes) else str(value)
        if found == wanted:
            yield Finding(f"Redis {name}", "ok", found)
        else:
            yield Finding(f"Redis {name}", level, found, f"set {name} {wanted}: {why}")


def _processes(client: Any, settings: Settings) -> Iterator[Finding]:
    """The Celery processes that told of themselves in the last minute, on any machine: does each take messages?"""
    if not find_spec("prometheus_client"):
        return
    from sortline.metrics import CELERY_ROLES, deaf, of_others

    told = of_others(client, settings, "")
    for process in deaf(told):
        advice = "it ends itself within half a minute; if nothing starts it again, start it by hand"
        yield Finding("Celery", "fail", f"{process} takes no messages from its queues", advice)
    running = {process.partition("@")[0] for process in told}
    missing = [role for role in CELERY_ROLES if role not in running]
    if missing:
        advice = "start them with `sortline up`, or as docs/operators.md has it"
        yield Finding("Celery", "warn", f"not heard of in the last minute: {', '.join(missing)}", advice)
    elif not deaf(told):
        yield Finding("Celery", "ok", f"{', '.join(CELERY_ROLES)} run")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free
    found = f"{free / 2**30:,.1f} GiB free for {folder}"
    if free >= _DISK_WARN:
        return Finding("disk", "ok", found)
    return Finding("disk", "fail" if free < _DISK_FAIL else "warn", found, "make room, or move SORTLINE_DATA_DIR")


def _model_store(root: str) -> Finding:
    advice = "set SORTLINE_MODEL_STORE to a place that this user may write to"
    try:
        if "://" in root:
            _write_remote(root)
        else:
            with tempfile.TemporaryFile(dir=_existing(Path(root))):
                pass
    except Exception as error:  # each file system behind fsspec has errors of its own
        return Finding("model store", "fail", f"{root} is not writable: {error}", advice)
    return Finding("model store", "ok", f"{root} is writable")


def _write_remote(root: str) -> None:
    import fsspec

    file_system, path = fsspec.url_to_fs(f"{root.rstrip('/')}/.sortline-doctor")
    file_system.makedirs(path.rpartition("/")[0], exist_ok=True)
    file_system.pipe_file(path, b"")
    file_system.rm_file(path)


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _accelerators() -> Iterator[Finding]:
    from sortline.logs import silence_telemetry

    silence_telemetry()
    if find_spec("torch"):
        yield Finding("torch", "ok", _torch())
    if find_spec("openvino"):
        import openvino

        yield Finding("OpenVINO", "ok", "devices " + ", ".join(openvino.Core().available_devices))
    if not (find_spec("torch") or find_spec("openvino")):
        yield Finding("engine", "warn", "none: no classifying here", "pip install 'sortline[worker,cpu]'")
    flags = _processor_flags()
    if flags & {"avx512_bf16", "amx_bf16", "bf16"}:
        yield Finding("processor", "ok", "computes bf16")
    else:
        yield Finding("processor", "warn", "has no bf16", "nothing need be done; classifying takes about twice as long")


def _flower(settings: Settings) -> Iterator[Finding]:
    """Whether a Flower that runs asks for a password: it can stop workers."""
    import httpx

    where = f"{settings.flower_host}:{settings.flower_port}"
    try:
        answer = httpx.get(f"http://{where}/workers", timeout=3, follow_redirects=True, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL):
        return  # it does not run here
    if answer.status_code == 401:
        yield Finding("Flower", "ok", f"asks for a password at {where}")
    elif answer.is_success and "flower" in answer.text.lower():
        advice = "set SORTLINE_FLOWER_BASIC_AUTH to user:password: it can stop workers"
        yield Finding("Flower", "warn", f"asks for no password at {where}", advice)


def _torch() -> str:
    import torch

    if not torch.cuda.is_available():
        return f"{torch.__version__}, no CUDA"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{torch.__version__}, CUDA on {', '.join(names)}"


def _processor_flags() -> set[str]:
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:  # no Linux
        return set()
