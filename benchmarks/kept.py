"""Processes that are started again when they end, as a supervisor does."""

import subprocess
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end.

    Raises:
        subprocess.TimeoutExpired: it did not end within a minute, and was killed.
    """
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


class Kept:
    """A process that is started again when it ends, as a supervisor does."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.start = start
        self.process = start()
        self.started_again = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def kill(self) -> None:
        """End it at once."""
        process = self.process
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End it as `end` does, and start it no more."""
        self._stop.set()
        self._thread.join()
        end(self.process)

    def _keep(self) -> None:
        while not self._stop.wait(0.1):
            if self.process.poll() is not None:
                self.process = self.start()
                self.started_again += 1
