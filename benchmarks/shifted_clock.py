"""A wall clock that can be set, for the processes that are started with it: the machine's own stays as it is."""

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


def can_be_shifted() -> bool:
    """Whether there is a C compiler, which the library needs."""
    return shutil.which("cc") is not None


class ShiftedClock:
    """A clock of the processes that have its ``environment``.

    Args:
        folder: where its library and its file are put; all users must be able to read them.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "seconds"
        library = folder / "shifted_clock.so"
        self.set(0)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """Let it be so many seconds ahead of the machine's."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))
