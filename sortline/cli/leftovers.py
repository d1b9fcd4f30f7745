"""What runs, on record, so that the next start can end what a killed `sortline up` left running."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from sortline.child import Child

SERVERS = ("postgres", "redis")


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
                leader.send_signal(stop_signal(self.name))

    def end(self, patience: float) -> None:
        """Wait up to ``patience`` seconds, then kill the rest of the group."""
        if leader := self.leader():
            with contextlib.suppress(psutil.Error):
                leader.wait(patience)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.leader() or not psutil.pid_exists(self.pid):
                os.killpg(self.pid, signal.SIGKILL)


def record(path: Path, children: Iterable[Child]) -> None:
    """Write what runs now to a file."""
    noted = []
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            assert child.process is not None
            process = psutil.Process(child.process.pid)
            noted.append(asdict(Leftover(child.name, process.pid, process.create_time())))
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(noted), encoding="utf-8")
    partial.replace(path)


def end_leftovers(path: Path, data_dir: Path, say: Callable[[str], None]) -> None:
    """End what a killed `sortline up` left running: processes first, then the servers.

    Args:
        path: the file that `record` wrote.
        data_dir: the folder with the servers' data.
    """
    left = [*_recorded(path), *_by_pid_files(data_dir)]
    servers = [found for found in left if found.name in SERVERS]
    for found, patience in (([each for each in left if each not in servers], 60.0), (servers, 30.0)):
        for each in found:
            say(f"ending {each.name} (process {each.pid}), left running by a killed `sortline up`")
            each.ask_to_stop()
        for each in found:
            each.end(patience)


def stop_signal(name: str) -> signal.Signals:
    """The signal that asks a process or a server to stop."""
    # SIGINT is Postgres' fast shutdown, which does not wait for clients.
    return signal.SIGINT if name == "postgres" else signal.SIGTERM


def _recorded(path: Path) -> list[Leftover]:
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
