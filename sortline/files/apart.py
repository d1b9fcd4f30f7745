"""A process of limited memory that decodes one Parquet file or workbook for the command line.

Whatever such a file decodes to, the command ends with a sentence, and the machine keeps its memory.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from sortline.errors import ImportFileError
from sortline.files.json_records import Record

_LEAST = 512 * 2**20  # bytes of address space; the decoders' libraries alone take half of it
_SHARE = 0.75  # of the memory that is free
_LIMIT = Path("/sys/fs/cgroup/memory.max")
# Preallocated threads and memory pools would take address space that the file may need.
_FRUGAL = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
# What an answer may be made of, beside numbers, texts and lists: a decoder that a file has taken over gets no further.
_ALLOWED = {
    "builtins": {"MemoryError", "RuntimeError", "bytearray", "complex", "frozenset", "set"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "sortline.errors": {"ImportFileError"},
    "sortline.files.workbook": {"Heading"},
    "uuid": {"SafeUUID", "UUID"},
}
_Answer = TypeVar("_Answer")


class Here:
    """Calls functions in this process, which is confined already."""

    def call(self, function: Callable[..., _Answer], *given: Any) -> _Answer:
        """What a function answers."""
        return function(*given)

    def iterate(self, function: Callable[..., Iterator[Record]], *given: Any) -> Iterator[Record]:
        """The records of a function that yields them."""
        return function(*given)

    def close(self) -> None:
        """Nothing is to be ended."""


class Apart:
    """Calls functions in a process of its own, which starts with the first call and ends with `close`.

    Args:
        most: bytes of address space for it; None: three quarters of the memory that is free.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most or max(_LEAST, int(free_memory() * _SHARE))
        self._process: subprocess.Popen[bytes] | None = None
        self._stream = 0

    def call(self, function: Callable[..., _Answer], *given: Any) -> _Answer:
        """What a function of a module answers there.

        Raises:
            ImportFileError: the function raised it, or needs more memory than the process may take.
        """
        self._stream += 1
        answer: _Answer = self._ask(function, given)
        return answer

    def iterate(self, function: Callable[..., Iterator[Record]], *given: Any) -> Iterator[Record]:
        """The records of a function that yields them. Each call ends the one before.

        Raises:
            ImportFileError: as in `call`, when the record is reached.
        """
        self._stream += 1
        stream = self._stream
        self._ask(function, given)
        while batch := self._ask(None, ()):
            yield from map(Record._make, batch)
            if stream != self._stream:
                raise RuntimeError("records of a file are being read while a new reading of it began")

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._process.kill()
        for end in (self._process.stdin, self._process.stdout):
            assert end is not None
            with contextlib.suppress(OSError):
                end.close()
        self._process.wait()
        self._process = None

    def _ask(self, function: Callable[..., Any] | None, given: tuple[Any, ...]) -> Any:
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump((function, given), process.stdin, pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            answer = _Answers(process.stdout).load()
        except (OSError, EOFError, pickle.UnpicklingError):
            raise self._ended(process) from None
        if isinstance(answer, MemoryError):
            raise ImportFileError(self._too_large())
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            command = [sys.executable, "-m", "sortline.files.decoder", str(self.most)]
            # A decoder that finds no memory writes about it before it ends; the sentence is ours.
            self._process = subprocess.Popen(
                command, env={**os.environ, **_FRUGAL}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        return self._process

    def _ended(self, process: subprocess.Popen[bytes]) -> ImportFileError:
        """Why the process ended without an answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        code = process.returncode
        if code in (-signal.SIGABRT, -signal.SIGKILL):  # what a decoder, and the system, do where memory ends
            return ImportFileError(self._too_large())
        how = "without an answer" if code is None or code >= 0 else f"by {signal.Signals(-code).name}"
        return ImportFileError(f"its decoder ended {how}: it seems damaged; write it again, or as CSV or JSON lines")

    def _too_large(self) -> str:
        return (
            f"reading it takes more memory than is free here ({self.most // 2**20:,} MiB); "
            "write it as CSV or JSON lines, which are read in small memory"
        )


class _Answers(pickle.Unpickler):
    """Reads pickles of a few harmless types only."""

    def find_class(self, module: str, name: str) -> Any:
        if name not in _ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"{module}.{name} is not a part of an answer")
        return super().find_class(module, name)


def free_memory() -> int:
    """Bytes of memory that are free on this machine, or that this container may have."""
    try:
        told = Path("/proc/meminfo").read_text("ascii")
        free = next(int(line.split()[1]) * 1024 for line in told.splitlines() if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no limit is the word max
        free = min(free, int(_LIMIT.read_text("ascii")))
    return free
