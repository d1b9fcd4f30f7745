"""Fine-tuning in a process of its own, which may run out of memory, be killed, or be several processes.

The parent stays small: it hands over the job, reads progress, and starts the child again if a smaller micro-batch
helps. The work folder holds what is needed to continue after a crash.
"""

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Protocol, Self

from classifier.engines.choose import cores
from classifier.figures import Epoch, Learning
from sortline.errors import CheckpointError, TrainingError
from sortline.settings import Settings
from sortline.whole_file import write_whole
from trainer.fine_tuning.job import BEGIN, Examples, Job, open_job

__all__ = ["Epoch", "Examples", "FineTuned", "Job", "Machine", "Progress", "Started", "fine_tune"]

_PROCESS = "trainer.fine_tuning.process"
_GRACE_S = 5.0
# Exit statuses after the kernel's out-of-memory killer, and a launcher's report of it.
_KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}
_KILLED_RANK = re.compile(r"exitcode\s*:\s*-9")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a fine-tuning runs on: ``device`` auto, cpu or cuda; ``threads`` of a CPU.

    ``launcher`` is the command that starts several processes, empty for one; ``checkpoint_s`` are the seconds between
    two saved states. ``polite``: everything else on the machine goes first.
    """

    device: str
    threads: int
    launcher: str = ""
    checkpoint_s: float = 60.0
    polite: bool = False

    @staticmethod
    def of(settings: Settings, polite: bool = False) -> "Machine":
        """This machine, as the settings want it used."""
        return Machine(
            settings.device, cores(settings.threads), settings.training_launcher, settings.training_checkpoint_s, polite
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fine-tuning is: its steps and the ``epoch`` under way.

    ``loss`` is a moving average, ``left_s`` an estimate in seconds; ``done``: steps of this process, from which it
    comes.
    """

    step: int
    steps: int
    loss: float
    left_s: float
    epoch: int
    epochs: int
    done: int


class OnStage(Protocol):
    """Called with what is done besides steps; where that is counted, with documents or passes: ``done``, ``of``."""

    def __call__(self, stage: str, **progress: int) -> None: ...


@dataclass(frozen=True, slots=True)
class FineTuned:
    """How it went; ``predicted``: indices of the validation documents' predicted labels, if there are 50 or more."""

    learning: Learning
    predicted: list[int]


class Started:
    """The process that fine-tunes. It loads its libraries, and checks a base model, while the job is prepared.

    In a process group of its own. It waits for our lock, so it ends itself once we are gone, even killed.

    Args:
        work: the job's folder.
        base: folder and name of a base model that is to be checked; None: none is.

    Raises:
        TrainingError: it can't be started.
    """

    def __init__(self, machine: Machine, work: Path, base: tuple[Path, str] | None = None) -> None:
        work.mkdir(parents=True, exist_ok=True)
        (work / BEGIN).unlink(missing_ok=True)
        self._work, self._checks = work, base is not None
        command = [*_command(machine, work), *map(str, base or ())]
        self._lock = (work / "lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            with (work / "errors.txt").open("wb") as stderr:
                self._child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True,
                    env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ,
                         "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )  # fmt: skip
        except OSError as error:
            self._lock.close()
            raise TrainingError(f"the fine-tuning can't be started: {command[0]}: {error.strerror}") from None
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def check(self, wait: bool = False) -> None:
        """See what the check of the base model has found.

        Args:
            wait: until it has ended, instead of what is known by now.

        Raises:
            CheckpointError: the base model can't be fine-tuned; the message says what to do.
        """
        while self._checks:
            try:
                line = self._lines.get(block=wait)
            except Empty:
                return
            if line is None:  # it has died: who asks for its messages will see how
                self._lines.put(None)
                return
            message = _parse(line)
            if "unusable" in message:
                raise CheckpointError(message["unusable"])
            self._checks = "usable" not in message

    def begin(self, micro_batch: int) -> Iterator[dict[str, Any]]:
        """Let it do the job that is in its folder now; its messages, until it has ended."""
        self.check(wait=True)
        write_whole(self._work / BEGIN, str(micro_batch).encode())
        for line in iter(self._lines.get, None):
            yield _parse(line)

    def status(self) -> int:
        """Its exit status, once it has ended by itself."""
        return self._child.wait()

    def end(self) -> None:
        """End it, if it still runs, and all that a launcher may have left of its group."""
        if self._lock.closed:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._child.poll() is None:
                _signal(self._child, number)
            try:
                self._child.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                continue
            break
        _signal(self._child, signal.SIGKILL)
        self._lock.close()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as messages:
            for line in messages:
                self._lines.put(line)
        self._lines.put(None)


def fine_tune(
    job: Job,
    work: Path,
    machine: Machine,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    started: Started | None = None,
    convert_into: Path | None = None,
    on_stage: OnStage = lambda stage, **progress: None,
) -> FineTuned:
    """Train a sequence classifier; afterwards ``work/model`` holds config.json and model.safetensors.

    A second call with the same job continues from the last state in ``work``, or returns at once if it was
    finished. Whatever a callback raises ends the fine-tuning and is raised on.

    Args:
        on_progress: called after steps, at most ten times a second.
        on_epoch: called after each epoch that has documents to validate on.
        started: the process, if it was started before; it is ended here.
        convert_into: folder of converted models (`classifier.engines.choose.conversions`) to which the process adds
            the model, having torch and transformers loaded; None: it does not.
        on_stage: called with the parts that are no steps.

    Raises:
        TrainingError: the base model can't be loaded, the training diverges, or memory or disk are too small.
    """
    open_job(job, work, {
        "device": machine.device, "threads": machine.threads, "checkpoint_s": machine.checkpoint_s,
        "convert_into": None if convert_into is None else str(convert_into.resolve()),
    })  # fmt: skip
    finished = work / "learning.json"
    micro_batch = job.parameters.micro_batch or job.parameters.batch_size
    while not ((work / "model").is_dir() and finished.is_file()):
        with started or Started(machine, work) as process:
            done = _run(process, micro_batch, work, on_progress, on_epoch, on_stage)
        started = None
        if done:
            continue
        if micro_batch == 1:
            raise TrainingError("out of memory even with one document at a time; use a smaller base model")
        micro_batch = (micro_batch + 1) // 2
    found = json.loads(finished.read_text())
    return FineTuned(Learning.model_validate(found), found["predicted"])


def _command(machine: Machine, work: Path) -> list[str]:
    """A launcher such as torchrun takes a module after -m; without one it is this interpreter."""
    words = shlex.split(machine.launcher)
    if words and (Path(sys.executable).parent / words[0]).is_file():
        words[0] = str(Path(sys.executable).parent / words[0])
    nice = shutil.which("nice") if machine.polite else None
    return [
        *([nice, "-n", "19"] if nice else []),
        *(words or [sys.executable]),
        "-m",
        _PROCESS,
        str(work),
    ]


def _run(
    process: Started, micro_batch: int, work: Path, on_progress: Callable[[Progress], None],
    on_epoch: Callable[[Epoch], None], on_stage: OnStage,
) -> bool:  # fmt: skip
    """Let the process do its job; False when it ran out of memory."""
    for message in process.begin(micro_batch):
        if "progress" in message:
            on_progress(Progress(**message["progress"]))
        elif "epoch" in message:
            on_epoch(Epoch(**message["epoch"]))
        elif "stage" in message:
            on_stage(**message)
        elif "error" in message:
            raise TrainingError(message["error"])
        elif "out_of_memory" in message:
            return False
    status = process.status()
    errors = (work / "errors.txt").read_text("utf-8", "replace")
    if status in _KILLED or (status and _KILLED_RANK.search(errors)):
        return False
    if status:
        last = [line.strip() for line in errors.splitlines() if line.strip()][-1:]
        raise TrainingError(f"the fine-tuning ended with exit status {status}: {''.join(last) or 'it wrote no error'}")
    return True


def _signal(child: "subprocess.Popen[bytes]", number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _parse(line: bytes) -> dict[str, Any]:
    """A message of the child; lines that libraries print are ignored."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
