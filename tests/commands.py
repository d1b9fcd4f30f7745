"""`sortline` commands, each in a process of its own that begins where the imports are done.

A process begins as a copy of one that has loaded the code, which takes hundredths of a second and not a whole one.
All else is its own: environment, working folder, standard streams and the exit code.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path

from sortline.cli import _COMMANDS, main, module_of

_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [__name__, *map(module_of, _COMMANDS), "trainer.data.preview", "trainer.run", "monitoring.status"]
)


def run(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], input: str = "", timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `sortline` with these arguments in ``folder``.

    Raises:
        subprocess.TimeoutExpired: it had not ended after ``timeout`` seconds, and was killed.
    """
    with tempfile.TemporaryDirectory() as place:
        streams = [Path(place) / name for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(input, encoding="utf-8")
        process = _PROCESSES.Process(target=_command, args=(list(arguments), folder, dict(environment), streams))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["sortline", *arguments], timeout)
        said, wrong = (stream.read_text(encoding="utf-8") if stream.exists() else "" for stream in streams[1:])
        return subprocess.CompletedProcess(["sortline", *arguments], process.exitcode, said, wrong)


def _command(arguments: list[str], folder: Path, environment: dict[str, str], streams: list[Path]) -> None:
    """In the new process: take the place of one that a shell starts."""
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY), number)
    sys.stdin = sys.__stdin__ = os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", encoding="utf-8")
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["sortline", *arguments]
    main()
