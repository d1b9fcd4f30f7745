"""Log files of the processes of `sortline up`: one each, rotated."""

import logging
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path

_MOST_BYTES = 10 * 2**20
_KEPT = 3  # older files of each process


class LogFiles:
    """A file `NAME.log` for each process; lines that a full disk refuses are dropped, so that the processes continue.

    Args:
        folder: created if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()

    def path(self, name: str) -> Path:
        """The log file of a process."""
        return self.folder / f"{name}.log"

    def write(self, name: str, line: str) -> None:
        """Append a line; several threads may call this at once."""
        with self._lock:
            if name not in self._files:
                self._files[name] = _File(self.path(name))
        self._files[name].handle(logging.LogRecord(name, logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()


class _File(RotatingFileHandler):
    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=_MOST_BYTES, backupCount=_KEPT, encoding="utf-8", errors="backslashreplace", delay=True
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Do nothing: there is nowhere to report that the log can't be written."""
