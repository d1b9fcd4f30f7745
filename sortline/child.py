"""A supervised process: restarted with back-off when it ends by itself."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

Sink = Callable[[str, str], None]
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_HEALTHY_S = 60.0
_MOST_SAID = 300


@dataclass(frozen=True, slots=True)
class End:
    """The end of a process that was not asked to end.

    ``code``: its exit code, or minus the number of the signal that ended it; ``said``: the last line it wrote;
    ``pause_s``: seconds until it is started again.
    """

    name: str
    code: int
    said: str
    pause_s: float

    @property
    def why(self) -> str:
        """How it ended, and the last line it wrote."""
        if self.code < 0:
            return f"{self.name} was killed by {_signal_name(-self.code)}"
        how = f"{self.name} exited with code {self.code}"
        said = self.said.removeprefix(f"{self.name}: ")
        return f"{how}: {said}" if said else how


class Child:
    """One process in its own process group; its output is passed on line by line.

    Args:
        name: shown before each line.
        command: a list of arguments, or a shell command line.
        sink: is called with the name and a line of output.
        user: a system user to run as (only root can).
        launched: called when the process was restarted.
        ended: called when the process ended by itself.
    """

    def __init__(
        self,
        name: str,
        command: list[str] | str,
        sink: Sink,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: int = signal.SIGTERM,
        launched: Callable[[], None] = lambda: None,
        ended: Callable[[End], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.command = command
        self.sink = sink
        self.environment = environment
        self.user = user
        self.stop_signal = stop_signal
        self.process: subprocess.Popen[str] | None = None
        self.launched = launched
        self.ended = ended
        self.started_again = 0
        self._said = ""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the process and watch it."""
        self._launch()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{self.name}", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the process runs now."""
        return self.process is not None and self.process.poll() is None

    def ask_to_stop(self) -> None:
        """Send the stop signal; the process will not be restarted."""
        self._stopping.set()
        self._signal(self.stop_signal)

    def wait(self, timeout: float) -> None:
        """Wait for the process to end; kill it after ``timeout`` seconds."""
        assert self.process is not None
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.sink(self.name, f"did not stop within {timeout:g} s, so it is killed")
            self._signal(signal.SIGKILL)
            self.process.wait()
        self._signal(signal.SIGKILL)  # what it left running in its group
        if self._thread is not None:
            self._thread.join(5)

    def _launch(self) -> None:
        self._said = ""
        self.process = subprocess.Popen(  # nosec B602  # a str is a line of the installation's own Procfile
            self.command, shell=isinstance(self.command, str), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env=self.environment, user=self.user, cwd="/" if self.user else None, start_new_session=True,
        )  # fmt: skip

    def _watch(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            assert self.process is not None and self.process.stdout is not None
            self._forward(self.process.stdout)
            code = self.process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _HEALTHY_S:
                pause = _FIRST_PAUSE_S
            self.sink(self.name, f"exited with code {code}; restarting in {pause:g} s")
            self.ended(End(self.name, code, self._said, pause))
            if self._stopping.wait(pause):
                return
            pause = min(pause * 2, _LONGEST_PAUSE_S)
            self._signal(signal.SIGKILL)
            self._launch()
            self.started_again += 1
            self.launched()

    def _forward(self, output: IO[str]) -> None:
        for line in output:
            if line.strip():
                self._said = "".join(c for c in line.strip() if c.isprintable())[:_MOST_SAID]
            self.sink(self.name, line.rstrip("\n"))

    def _signal(self, number: int) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
