"""The other processes of a worker with several intakes: one that computes for all of them, and the further intakes.

On an accelerator, one interpreter that reads, tokenises, computes and stores is what forward passes wait for. So the
passes get a process of their own, and several processes prepare documents for it and store them
(docs/decisions/0053-processes.md). Each intake is a consumer of its own, as another worker would be.
"""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from classifier.engines import choose, remote
from classifier.engines.remote import Channel
from sortline.settings import Settings
from worker.consumer import unique_name
from worker.ends import end_process

log = logging.getLogger(__name__)

ENGINE_PROCESS = "classifier.engines.process"
_INTAKE_PROCESS = "worker.intake_process"
_ON_AN_ACCELERATOR = 3
_CORES_AN_INTAKE = 2
_ASKED_TO_END = 0


def intakes(settings: Settings) -> int:
    """The number of processes of a worker that read, tokenise and store documents."""
    if settings.intakes:
        return settings.intakes
    if not choose.may_use_cuda(settings):
        return 1
    return max(1, min(_ON_AN_ACCELERATOR, choose.cores(0) // _CORES_AN_INTAKE))


class Processes:
    """Starts the other processes and watches them: if one fails, so does the worker, and the supervisor restarts all.

    From then on the engines of this process run in the process that computes.

    Args:
        count: of intakes, this process's among them; at least 2.
        hostname: the Celery worker's name, under which all of them send task events.

    ``name``: what all intakes' heartbeats call the worker.
    """

    def __init__(self, count: int, hostname: str) -> None:
        self.name = unique_name()
        self._stopping = threading.Event()
        pairs = [socket.socketpair() for _ in range(count)]
        theirs = [each.fileno() for _, each in pairs]
        self._engine = subprocess.Popen([sys.executable, "-m", ENGINE_PROCESS, *map(str, theirs)], pass_fds=theirs)
        self._intakes = [self._intake(ours, hostname, number) for number, (ours, _) in enumerate(pairs[1:], 2)]
        for ours, other in pairs:
            other.close()
            if ours is not pairs[0][0]:
                ours.close()
        remote.use(Channel(pairs[0][0], lost))
        self._watch("the process that computes", self._engine, lambda _: True)
        for number, process in enumerate(self._intakes, 2):
            self._watch(f"intake {number}", process, lambda code: code != _ASKED_TO_END)

    def stop(self, timeout: float) -> None:
        """Let the other intakes finish what they hold. What computes ends by itself, with the last process it serves.

        Args:
            timeout: seconds until an intake that is not done is killed. What it holds stays pending.
        """
        self.let_go()
        for process in self._intakes:
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                log.error("intake process %d does not end and is killed", process.pid)
                process.kill()
                process.wait()

    def let_go(self) -> None:
        """Begin to stop: tell the other intakes, and no longer watch them."""
        self._stopping.set()
        for process in self._intakes:
            assert process.stdin is not None
            process.stdin.close()

    def _intake(self, control: socket.socket, hostname: str, number: int) -> subprocess.Popen[bytes]:
        """A further intake; it stops when its standard input is closed, at the latest with this process."""
        return subprocess.Popen(
            [sys.executable, "-m", _INTAKE_PROCESS, str(control.fileno()), hostname, self.name, str(number)],
            stdin=subprocess.PIPE,
            pass_fds=[control.fileno()],
        )

    def _watch(self, name: str, process: subprocess.Popen[bytes], failed: Callable[[int], bool]) -> None:
        def watch() -> None:
            code = process.wait()
            if self._stopping.is_set():
                return
            if failed(code):
                end_process(f"{name} ended with exit code {code}")
            log.warning("%s was asked to end; the worker goes on without it", name)

        threading.Thread(target=watch, name=f"watch {process.pid}", daemon=True).start()


def lost() -> NoReturn:
    """End this process, because the one that computes for it is gone. No document is to blame, so none is failed."""
    end_process("the process that computes is gone")
