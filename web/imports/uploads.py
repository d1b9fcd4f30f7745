"""Uploaded files are read in a process of their own, so that they can't harm the web."""

import logging
import os
import subprocess
import sys
import tempfile
import threading
from typing import Any

import orjson

from sortline import errors
from sortline.errors import ImportFileError, SortlineError
from sortline.settings import Settings

log = logging.getLogger(__name__)

_AT_ONCE = 2
_WAITED_S = 20.0  # until one of them is done
_WALL = 4  # times the processor time that it may take
_MOST_ANSWER = 2**24  # bytes
_BUSY = "Two files are being read now; try again when one of them is done."
_BROKEN = (
    "Reading the file takes more memory or time than is allowed here "
    "(SORTLINE_UPLOAD_MEMORY_MIB, SORTLINE_UPLOAD_S); split the file, or use the command line."
)
# Preallocated threads and memory pools would take memory that the file may need.
FRUGAL = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system",
    "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1",
}  # fmt: skip


class Uploads:
    """Has files read by `web.imports.upload_process`, two at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self.room = threading.BoundedSemaphore(_AT_ONCE)  # for files held in memory on their way to the database

    def read(self, what: str, **job: Any) -> dict[str, Any]:
        """Do a job on a stored file and return its answer.

        Raises:
            ImportFileError: it can't be read or exceeds the limits, or two files are being read.
            SortlineError: what the job raised.
        """
        if not self._free.acquire(timeout=_WAITED_S):
            raise ImportFileError(_BUSY)
        try:
            with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
                return self._answer(orjson.dumps({"what": what, "settings": self._given(), **job}), folder)
        finally:
            self._free.release()

    def _given(self) -> dict[str, Any]:
        """Our settings with the servers' addresses: embedded servers are found by the folder of temporary files."""
        given = {name: _plain(getattr(self.settings, name)) for name in type(self.settings).model_fields}
        addresses = {"database_url": self.settings.postgres_url.url, "redis_url": self.settings.redis.url}
        return given | addresses | dict.fromkeys(("database_url_file", "redis_url_file"))

    def _answer(self, job: bytes, folder: str) -> dict[str, Any]:
        # Its temporary files are in a folder of ours: it may be killed before it deletes them.
        command = [sys.executable, "-m", "web.imports.upload_process"]
        environment = {**os.environ, **FRUGAL, "TMPDIR": folder}
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            late = threading.Timer(_WALL * self.settings.upload_s, process.kill)
            late.daemon = True
            late.start()
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(job)
                process.stdin.close()
                raw = process.stdout.read(_MOST_ANSWER + 1)
            except OSError:
                raw = b""
            finally:
                late.cancel()
                process.kill()
        if not raw or len(raw) > _MOST_ANSWER:
            log.warning("a file could not be read within its limits (exit status %s)", process.returncode)
            raise ImportFileError(_BROKEN)
        return _checked(orjson.loads(raw))


def _checked(told: dict[str, Any]) -> dict[str, Any]:
    if "error" not in told:
        answer: dict[str, Any] = told["answer"]
        return answer
    kind = getattr(errors, told["error"], SortlineError)
    raise kind(told["detail"])


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, os.PathLike) else value
