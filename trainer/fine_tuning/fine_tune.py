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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.engines.choose import cores
from classifier.figures import Epoch, Learning
from sortline.errors import TrainingError
from sortline.settings import Settings
from trainer.fine_tuning.job import Examples, Job, open_job

__all__ = ["Epoch", "Examples", "FineTuned", "Job", "Machine", "Progress", "fine_tune"]

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
    """Where a fine-tuning is; ``loss`` is a moving average, ``left_s`` an estimate in seconds."""

    step: int
    steps: int
    loss: float
    left_s: float


@dataclass(frozen=True, slots=True)
class FineTuned:
    """How it went; ``predicted``: indices of the validation documents' predicted labels, if there are 50 or more."""

    learning: Learning
    predicted: list[int]


def fine_tune(
    job: Job,
    work: Path,
    machine: Machine,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> FineTuned:
    """Train a sequence classifier; afterwards ``work/model`` holds config.json and model.safetensors.

    A second call with the same job continues from the last state in ``work``, or returns at once if it was
    finished. Whatever a callback raises ends the fine-tuning and is raised on.

    Args:
        on_progress: called after steps, at most ten times a second.
        on_epoch: called after each epoch that has documents to validate on.

    Raises:
        TrainingError: the base model can't be loaded, the training diverges, or memory or disk are too small.
    """
    open_job(job, work, {"device": machine.device, "threads": machine.threads, "checkpoint_s": machine.checkpoint_s})
    finished = work / "learning.json"
    micro_batch = job.parameters.micro_batch or job.parameters.batch_size
    while not ((work / "model").is_dir() and finished.is_file()):
        if _run(_command(machine, work, micro_batch), work, on_progress, on_epoch):
            continue
        if micro_batch == 1:
            raise TrainingError("out of memory even with one document at a time; use a smaller base model")
        micro_batch = (micro_batch + 1) // 2
    found = json.loads(finished.read_text())
    return FineTuned(Learning.model_validate(found), found["predicted"])


def _command(machine: Machine, work: Path, micro_batch: int) -> list[str]:
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
        str(micro_batch),
    ]


def _run(
    command: list[str], work: Path, on_progress: Callable[[Progress], None], on_epoch: Callable[[Epoch], None]
) -> bool:
    """Run the child to its end; False when it ran out of memory."""
    with _child(command, work) as child:
        assert child.stdout is not None
        for line in child.stdout:
            message = _parse(line)
            if "progress" in message:
                on_progress(Progress(**message["progress"]))
            elif "epoch" in message:
                on_epoch(Epoch(**message["epoch"]))
            elif "error" in message:
                raise TrainingError(message["error"])
            elif "out_of_memory" in message:
                return False
        status = child.wait()
    errors = (work / "errors.txt").read_text("utf-8", "replace")
    if status in _KILLED or (status and _KILLED_RANK.search(errors)):
        return False
    if status:
        last = [line.strip() for line in errors.splitlines() if line.strip()][-1:]
        raise TrainingError(f"the fine-tuning ended with exit status {status}: {''.join(last) or 'it wrote no error'}")
    return True


@contextmanager
def _child(command: list[str], work: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A child in a process group of its own. It waits for our lock, so it ends itself once we are gone, even killed."""
    with (work / "lock").open("wb") as lock, (work / "errors.txt").open("wb") as stderr:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:
            raise TrainingError(f"the fine-tuning can't be started: {command[0]}: {error.strerror}") from None
        try:
            yield child
        finally:
            _end(child)


def _end(child: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is None:
            _signal(child, number)
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        break
    _signal(child, signal.SIGKILL)  # what a launcher may have left of its group
    if child.stdout is not None:
        child.stdout.close()


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
