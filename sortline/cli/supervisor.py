"""`sortline up`: the embedded servers and every process of the Procfile, kept running, stopped in order."""

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil
from honcho.environ import parse_procfile

from migrations.upgrade import migrate
from sortline.child import Child, End, Sink
from sortline.errors import AlreadyRunningError, ConfigurationError, PortTakenError, ServerUnreachableError
from sortline.listening import check, taken
from sortline.local import Server, embedded_postgres, embedded_redis
from sortline.settings import Settings

PROCFILE = Path(__file__).with_name("Procfile")
_SERVERS = ("postgres", "redis")
# What accepts documents or work stops first; what finishes it gets time; the servers stop last.
_STOP_ORDER: tuple[tuple[tuple[str, ...], float], ...] = (
    (("web", "beat", "flower"), 10.0),
    (("worker", "trainer", "housekeeping"), 60.0),
)


class Supervisor:
    """Runs Sortline in one folder.

    Args:
        settings: the folder, and which servers run elsewhere.
        sink: is called with a process's name and a line of its output.
        only: names of the processes to run; None: all of the Procfile.
        procfile: the processes.
        ended: is called with the end of a process that will be restarted.
    """

    def __init__(
        self,
        settings: Settings,
        sink: Sink,
        only: Sequence[str] | None = None,
        procfile: Path = PROCFILE,
        ended: Callable[[End], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.sink = sink
        self.ended = ended
        self.commands = _commands(procfile, only)
        self.servers: list[Child] = []
        self.processes: list[Child] = []
        self._lock: IO[str] | None = None

    @property
    def names(self) -> list[str]:
        """Names of everything that can print a line."""
        return [*_SERVERS, *self.commands]

    def start(self, asked: threading.Event | None = None) -> None:
        """Start the servers, migrate the database, start the processes; without processes, start the servers alone.

        Args:
            asked: set when it is asked to stop; it ends between two steps then, and stops what it has started.

        Raises:
            KeyboardInterrupt: it was asked to stop.
            AlreadyRunningError: another `sortline up` runs in this folder.
            PortTakenError: another program uses a port that a process needs.
            ConfigurationError, ServerUnreachableError: a server did not start.
        """
        asked = asked or threading.Event()
        self._take_lock()
        try:
            self._end_leftovers()
            check_ports(self.settings, self.commands)
            started = [*(name for name, _ in self._wanted_servers()), *self.commands]
            self.sink("up", f"starting {', '.join(started)} in {self.settings.data_dir.resolve()}")
            for _, make in self._wanted_servers():
                _go_on(asked)
                self._start_server(make(data_dir=self.settings.data_dir, runtime_dir=self.settings.runtime_dir), asked)
            _go_on(asked)
            if self.commands:
                before, after = migrate(self.settings.postgres_url)
                if before != after:
                    self.sink("up", f"database: {before or 'empty'} -> {after}")
            environment = {**os.environ, **process_environment(self.settings)}
            for name, command in self.commands.items():
                _go_on(asked)
                child = Child(name, f"exec {command}", self.sink, environment, launched=self._note, ended=self.ended)
                child.start()
                self.processes.append(child)
                self._note()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything in order and release the lock."""
        ordered = {name for names, _ in _STOP_ORDER for name in names}
        others = tuple(child.name for child in self.processes if child.name not in ordered)
        for names, patience in ((others, 10.0), *_STOP_ORDER):
            _end([child for child in self.processes if child.name in names], patience)
        for server in reversed(self.servers):  # Redis before Postgres
            _end([server], 30.0)
        self.processes.clear()
        self.servers.clear()
        if self._lock is not None:
            self._run_file.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    @property
    def _run_file(self) -> Path:
        return self.settings.data_dir / "run.json"

    def _take_lock(self) -> None:
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        handle = (self.settings.data_dir / "up.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel releases it even after kill -9
        except BlockingIOError:
            handle.seek(0)
            pid = handle.read().strip() or "unknown"
            handle.close()
            folder = self.settings.data_dir.resolve()
            raise AlreadyRunningError(f"Sortline already runs in {folder} (process {pid}); stop it first") from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        os.set_inheritable(handle.fileno(), False)
        self._lock = handle

    def _wanted_servers(self) -> Iterator[tuple[str, Callable[..., Server]]]:
        if self.settings.embedded_postgres:
            yield "postgres", embedded_postgres
        if self.settings.embedded_redis:
            yield "redis", embedded_redis

    def _start_server(self, server: Server, asked: threading.Event) -> None:
        child = Child(
            server.name,
            server.command,
            self.sink,
            user=server.user,
            stop_signal=_stop_signal(server.name),
            launched=self._note,
            ended=self.ended,
        )
        child.start()
        self.servers.append(child)
        self._note()
        try:
            server.wait(lambda: child.is_alive() and not asked.is_set())
        except ServerUnreachableError:
            _go_on(asked)
            raise

    def _note(self) -> None:
        """Record what runs, so that the next start can end what is left running if this process is killed."""
        noted = []
        for child in (*self.servers, *self.processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                assert child.process is not None
                process = psutil.Process(child.process.pid)
                noted.append(asdict(Leftover(child.name, process.pid, process.create_time())))
        partial = self._run_file.with_suffix(".partial")
        partial.write_text(json.dumps(noted), encoding="utf-8")
        partial.replace(self._run_file)

    def _end_leftovers(self) -> None:
        """End what a killed `sortline up` left running: processes first, then the servers."""
        left = [*_noted(self._run_file), *_by_pid_files(self.settings.data_dir)]
        servers = [found for found in left if found.name in _SERVERS]
        for found, patience in (([each for each in left if each not in servers], 60.0), (servers, 30.0)):
            for each in found:
                self.sink("up", f"ending {each.name} (process {each.pid}), left running by a killed `sortline up`")
                each.ask_to_stop()
            for each in found:
                each.end(patience)


@dataclass(frozen=True)
class Leftover:
    """A process group that a killed run left: its leader's process id and start time."""

    name: str
    pid: int
    created: float

    def leader(self) -> psutil.Process | None:
        """The leader, unless it has ended (another process may have its id by now)."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) <= 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def ask_to_stop(self) -> None:
        """Send the leader its stop signal."""
        if leader := self.leader():
            with contextlib.suppress(psutil.Error):
                leader.send_signal(_stop_signal(self.name))

    def end(self, patience: float) -> None:
        """Wait up to ``patience`` seconds, then kill the rest of the group."""
        if leader := self.leader():
            with contextlib.suppress(psutil.Error):
                leader.wait(patience)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.leader() or not psutil.pid_exists(self.pid):
                os.killpg(self.pid, signal.SIGKILL)


def process_environment(settings: Settings) -> dict[str, str]:
    """Environment variables by which the processes find this folder's servers from any working folder."""
    here = str(Path(sys.executable).parent)
    return {
        "SORTLINE_DATA_DIR": str(settings.data_dir.resolve()),
        "SORTLINE_WEB_HOST": settings.web_host,
        "SORTLINE_WEB_PORT": str(settings.web_port),
        "SORTLINE_FLOWER_HOST": settings.flower_host,
        "SORTLINE_FLOWER_PORT": str(settings.flower_port),
        "PATH": os.pathsep.join([here, os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
    }


def check_ports(settings: Settings, names: Container[str]) -> None:
    """Check that the processes with these names can use their ports.

    Raises:
        PortTakenError: another program uses one, or two of ours would use the same one.
        ConfigurationError: this machine or this user can't use it.
    """
    listening = [
        (name.upper(), host, port)
        for name, host, port in (
            ("web", settings.web_host, settings.web_port),
            ("flower", settings.flower_host, settings.flower_port),
        )
        if name in names
    ]
    if len({port for _, _, port in listening}) < len(listening):
        port = settings.web_port
        raise PortTakenError(f"SORTLINE_WEB_PORT and SORTLINE_FLOWER_PORT are both {port}; set one to another port")
    for name, host, port in listening:
        try:
            check(host, port, name)
        except PortTakenError:
            raise taken(host, port, name, _holder(port)) from None


def _holder(port: int) -> str:
    """The program that listens on a port, as far as this user may see it."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            here = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,)
            if here and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"


@contextmanager
def running(
    settings: Settings,
    sink: Sink,
    only: Sequence[str] | None = None,
    ended: Callable[[End], None] = lambda _: None,
) -> Iterator[Supervisor]:
    """A supervisor that runs inside the block."""
    supervisor = Supervisor(settings, sink, only, ended=ended)
    with _interrupted_by_sigterm():
        supervisor.start()
        try:
            yield supervisor
        finally:
            supervisor.stop()


@contextmanager
def servers(settings: Settings, alone: bool = False) -> Iterator[None]:
    """The embedded servers: those of a running `sortline up`, else started for the block.

    Args:
        alone: require that no `sortline up` runs in this folder.

    Raises:
        AlreadyRunningError: `sortline up` runs and ``alone`` is set.
    """
    supervisor = Supervisor(settings, lambda name, line: None, only=[])
    with _interrupted_by_sigterm():
        try:
            supervisor.start()
        except AlreadyRunningError:
            if alone:
                raise
        try:
            yield
        finally:
            supervisor.stop()


def stop_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set from now on."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    return asked


def wait_for_signal(asked: threading.Event | None = None) -> None:
    """Wait for Ctrl-C or SIGTERM; ``asked``: what `stop_signals` returned."""
    asked = asked or stop_signals()
    while not asked.wait(1):
        pass


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does; otherwise the process would end, and what it started would go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _go_on(asked: threading.Event) -> None:
    if asked.is_set():
        raise KeyboardInterrupt


def _commands(procfile: Path, only: Sequence[str] | None) -> dict[str, str]:
    try:
        found: dict[str, str] = dict(parse_procfile(procfile.read_text(encoding="utf-8")).processes)
    except OSError as error:
        raise ConfigurationError(f"{procfile} can't be read: {error.strerror}") from None
    unknown = set(only or ()) - set(found)
    if unknown:
        message = f"there is no process {', '.join(sorted(unknown))}; choose from {', '.join(found)}"
        raise ConfigurationError(message)
    return {name: command for name, command in found.items() if only is None or name in only}


def _end(children: Sequence[Child], patience: float) -> None:
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.wait(patience)


def _stop_signal(name: str) -> signal.Signals:
    # SIGINT is Postgres' fast shutdown, which does not wait for clients.
    return signal.SIGINT if name == "postgres" else signal.SIGTERM


def _noted(path: Path) -> list[Leftover]:
    try:
        return [Leftover(**note) for note in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _by_pid_files(data_dir: Path) -> list[Leftover]:
    """Servers that were restarted just after the last record, found by their own pid files."""
    found = []
    for name, file, programs in (
        ("postgres", "postgres/postmaster.pid", {"postgres"}),
        ("redis", "redis/redis.pid", {"redis-server", "valkey-server"}),
    ):
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
            process = psutil.Process(int((data_dir / file).read_text().splitlines()[0]))
            if process.name() in programs:
                found.append(Leftover(name, process.pid, process.create_time()))
    return found
