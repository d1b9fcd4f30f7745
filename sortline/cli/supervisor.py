"""`sortline up`: the embedded servers and every process of the Procfile, kept running, stopped in order."""

import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from honcho.environ import parse_procfile

from migrations.upgrade import migrate
from sortline.child import Child, End, Sink
from sortline.cli.interrupt import interrupted_by_sigterm
from sortline.cli.leftovers import SERVERS, end_leftovers, record, stop_signal
from sortline.cli.ports import check_ports
from sortline.errors import AlreadyRunningError, ConfigurationError, ServerUnreachableError
from sortline.local import Server, embedded_postgres, embedded_redis
from sortline.settings import Settings

PROCFILE = Path(__file__).with_name("Procfile")
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
        return [*SERVERS, *self.commands]

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
            end_leftovers(self._run_file, self.settings.data_dir, partial(self.sink, "up"))
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
            # Postgres reads PGPORT and the like too, which are meant for clients of another one.
            {name: value for name, value in os.environ.items() if not name.startswith("PG")},
            user=server.user,
            stop_signal=stop_signal(server.name),
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
        record(self._run_file, [*self.servers, *self.processes])


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


@contextmanager
def running(
    settings: Settings,
    sink: Sink,
    only: Sequence[str] | None = None,
    ended: Callable[[End], None] = lambda _: None,
) -> Iterator[Supervisor]:
    """A supervisor that runs inside the block."""
    supervisor = Supervisor(settings, sink, only, ended=ended)
    with interrupted_by_sigterm():
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
    with interrupted_by_sigterm():
        try:
            supervisor.start()
        except AlreadyRunningError:
            if alone:
                raise
        try:
            yield
        finally:
            supervisor.stop()


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
