"""The process that fine-tunes: ``python -m trainer.fine_tuning.process WORK [BASE NAME]``.

`trainer.fine_tuning.fine_tune` starts it, alone or as one of several ranks by a launcher such as torchrun. It checks
the base model in the folder BASE, if one is given, and waits until the job is in WORK. It writes JSON lines on standard
output, ends itself when the parent does, and keeps in WORK what it needs to continue.
"""

import fcntl
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

from sortline.errors import SortlineError
from sortline.whole_file import is_disk_full
from trainer.fine_tuning.base_check import check_folder
from trainer.fine_tuning.job import BEGIN
from trainer.fine_tuning.training_loop import FineTuning

_LOOKED_EVERY_S = 0.02  # whether the job is there
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def send(**message: Any) -> None:
    """Write a message for the parent."""
    print(json.dumps(message), flush=True)  # noqa: T201 - standard output leads to the parent


def _end_with_parent(work: Path) -> None:
    """Wait for the lock that the parent holds while it lives and needs this process, then end."""
    with (work / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.killpg(os.getpgid(0), signal.SIGKILL)


def _message_of(error: BaseException) -> dict[str, Any] | None:
    """The message about an error; None: the parent reads the traceback."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return {"out_of_memory": True}
    if isinstance(error, RuntimeError) and any(each in str(error) for each in _NO_MEMORY):
        return {"out_of_memory": True}
    if is_disk_full(error):
        return {"error": "the disk is full: the state of the fine-tuning can't be written"}
    if isinstance(error, SortlineError):
        return {"error": str(error)}
    return None


def _micro_batch(work: Path) -> int:
    """Wait for the job; how many documents to compute at once."""
    begin = work / BEGIN
    while not begin.is_file():
        time.sleep(_LOOKED_EVERY_S)
    return int(begin.read_text())


def _check(base: Path, name: str) -> None:
    """Say whether a base model can be fine-tuned; of several ranks the first one does."""
    if int(os.environ.get("RANK", "0")):
        return
    try:
        check_folder(base, name)
    except SortlineError as error:
        send(unusable=str(error))
        sys.exit(1)
    send(usable=True)


def main(work: str, base: str = "", name: str = "") -> None:
    """Fine-tune what the work folder asks for."""
    threading.Thread(target=_end_with_parent, args=(Path(work),), daemon=True).start()
    try:
        if base:
            _check(Path(base), name)
        FineTuning(Path(work), _micro_batch(Path(work)), send).run()
    except Exception as error:
        message = _message_of(error)
        if message is None:
            raise
        send(**message)
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
