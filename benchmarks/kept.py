"""Processes that are started again when they end, as a supervisor does."""

import subprocess
import threading
from collections.abc import Callable


class Kept:
    """A process that is started again when it ends, as a supervisor does."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.start = start
        self.process = start()
        self.started_again = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """End it at once."""
        process = self.process
        process.kill()
        process.wait()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.process.terminate()
        self.process.wait(60)

    def _keep(self) -> None:
        while not self._stop.wait(0.1):
            if self.process.poll() is not None:
                self.process = self.start()
                self.started_again += 1
