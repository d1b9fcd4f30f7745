"""A folder in memory for the tests' servers: a database for each of thousands of tests keeps a disk busy."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MEMORY = Path("/dev/shm")
_PREFIX = "sortline-tests-"
_LEAST = 2 * 2**30  # bytes that are free; the servers of a test process take about 70 MB, and what a test stores


@contextlib.contextmanager
def memory_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory, deleted at the end; ``otherwise`` where the machine has too little room for it."""
    if not _has_room():
        yield otherwise
        return
    _delete_left()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_MEMORY))
    folder.chmod(0o755)  # Postgres runs as a user of its own if the tests run as root
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has_room() -> bool:
    try:
        return os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _LEAST
    except OSError:
        return False


def _delete_left() -> None:
    """Delete the folders of tests that were killed: unlike those on a disk, they take memory."""
    for folder in _MEMORY.glob(f"{_PREFIX}*"):
        if not Path("/proc", folder.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            shutil.rmtree(folder, ignore_errors=True)
