"""Python processes without the loading: each begins as a copy of one that has loaded the code.

To load torch, transformers, Celery and the rest takes a process three to five seconds of processor time, which most
tests spend on nothing else. So one process, the keeper (tests/keeper.py), loads them once and forks, for all test
processes of a run; a frugal one has little in memory, for the process that may have little:

    a test ──────────► start(): a Copy, which is to the test what `subprocess.Popen` is
    Sortline's code ──► interpreter(): a `python` that has its `-m MODULE` begun as a copy, waits, and ends as it did

The copy is a process of its own, with the streams, folder, environment and end that it would have had. It is killed
when what asked for it ends. This file needs the standard library alone, and is itself the program of `interpreter()`.
"""

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
_BIN = Path(sys.executable).parent
# Programs that the keeper has loaded; `sortline` is the command line. Others, and all that is asked of the interpreter
# but `-m`, start as ever: their loading is short, or is what a test looks at.
_LOADED = frozenset({
    "celery", "classifier.engines.openvino_convert", "classifier.engines.openvino_quantise",
    "classifier.explain_process", "monitoring.drift_process", "trainer.fine_tuning.process", "web",
})  # fmt: skip
_FRUGAL = frozenset({"web.imports.upload_process"})  # limits its memory
_PRELOAD = "LD_PRELOAD"
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


_started = contextlib.ExitStack()
_shared: list[Path] = []  # the folder of another process' keepers, where they are used


class Copy:
    """A process that began as a copy, as `subprocess.Popen` shows one.

    Args:
        keeper: path of the keeper's socket.
        command: `sortline`, `-m MODULE` or `-c CODE`, and arguments.
        streams: descriptors of its standard streams.
        new_session: whether it leads a session and process group of its own.
    """

    def __init__(
        self,
        keeper: str,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        streams: Sequence[int] = (0, 1, 2),
        new_session: bool = False,
    ) -> None:
        self.args = list(command)
        self.returncode: int | None = None
        asked = {
            "command": self.args, "folder": str(folder), "environment": dict(environment), "new_session": new_session,
        }  # fmt: skip
        self._keeper = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._keeper.connect(keeper)
        socket.send_fds(self._keeper, [json.dumps(asked).encode()], list(streams))
        self.pid = int(self._keeper.recv(16))

    def poll(self) -> int | None:
        """Its exit status, or minus the number of the signal that ended it; None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns its exit status."""
        status = self._look(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> "Copy":
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._keeper.settimeout(timeout)
            try:
                self.returncode = int(self._keeper.recv(16) or -signal.SIGKILL)
            except (BlockingIOError, TimeoutError):
                return None
            self._keeper.close()
        return self.returncode


def start(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    stdout: IO[Any] | None = None,
    stderr: IO[Any] | int | None = None,
    stdin: IO[Any] | None = None,
    new_session: bool = False,
) -> "Copy | subprocess.Popen[Any]":
    """Start `sortline`, `-m MODULE` or `-c CODE` as a copy; streams as with `subprocess.Popen`: ours, a file, or STDOUT."""
    if _PRELOAD in environment:  # a copy has its libraries already
        real = [str(_BIN / "sortline"), *command[1:]] if command[0] == "sortline" else [str(_BIN / "python"), *command]
        return subprocess.Popen(
            real, cwd=folder, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=new_session
        )
    out = sys.__stdout__.fileno() if stdout is None else stdout.fileno()
    wrong = 2 if stderr is None else out if stderr == subprocess.STDOUT else stderr.fileno()
    streams = [0 if stdin is None else stdin.fileno(), out, wrong]
    return Copy(_keeper(), command, folder, environment, streams, new_session)


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], input: str = "", timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `sortline`, `-m MODULE` or `-c CODE` to its end.

    Raises:
        subprocess.TimeoutExpired: it had not ended after ``timeout`` seconds, and was killed.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as stdin,
        tempfile.TemporaryFile("w+", encoding="utf-8") as stdout,
        tempfile.TemporaryFile("w+", encoding="utf-8") as stderr,
    ):
        stdin.write(input)
        stdin.seek(0)
        with start(command, folder, environment, stdout, stderr, stdin) as copy:
            try:
                status = copy.wait(timeout)
            except subprocess.TimeoutExpired:
                copy.kill()
                raise
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(copy.args, status, stdout.read(), stderr.read())


@contextlib.contextmanager
def copies() -> Iterator[None]:
    """In the block, what Sortline's code starts with its own interpreter begins as a copy."""
    real, sys.executable = sys.executable, str(interpreter())
    try:
        yield
    finally:
        sys.executable = real


def interpreter() -> Path:
    """A `python`, in a folder that has all else that stands beside the real one."""
    return _interpreter(keepers())


def use(folder: Path) -> None:
    """Use the keepers of another process, and start none: it ends them after us."""
    _shared[:] = [folder]


def end() -> None:
    """End the keepers that this process has started, and with them what they have running."""
    _started.close()
    keepers.cache_clear()


def _keeper() -> str:
    """The path of the socket of the keeper that has loaded everything."""
    return str(keepers() / "everything")


@functools.cache
def keepers() -> Path:
    """The folder of the keepers' sockets, which other processes may use too; they are started if none are shared."""
    if _shared:
        return _shared[0]
    from web.imports.uploads import FRUGAL

    # A path of a socket has to be short.
    folder = Path(_started.enter_context(tempfile.TemporaryDirectory(prefix="sortline-loaded-")))
    _make_interpreter(_interpreter(folder), folder)
    _start_keeper(folder, "everything", {})
    _start_keeper(folder, "frugal", FRUGAL)
    return folder


def _start_keeper(folder: Path, name: str, more: Mapping[str, str]) -> None:
    process = subprocess.Popen(
        [_BIN / "python", "-m", "tests.keeper", folder / name, _interpreter(folder)], cwd=ROOT,
        env={**os.environ, **more, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    _started.enter_context(process)
    assert process.stdin is not None and process.stdout is not None
    _started.callback(process.stdin.close)  # it ends with its standard input, and so with us, however we end
    assert process.stdout.readline(), "the keeper ended"


def _interpreter(folder: Path) -> Path:
    return folder / "bin" / "python"


def _make_interpreter(program: Path, folder: Path) -> None:
    program.parent.mkdir()
    for path in _BIN.iterdir():
        if not path.name.startswith("python"):
            program.with_name(path.name).symlink_to(path)
    # Isolated and without site: it needs the standard library alone.
    program.write_text(f'#!/bin/sh\nexec {_BIN}/python -I -S {__file__} {folder} "$@"\n')
    program.chmod(0o755)


def _launch(folder: str, arguments: list[str]) -> None:
    """Be the interpreter: have a copy run the command, and end as it does."""
    real = str(_BIN / "python")
    if arguments[:1] != ["-m"] or arguments[1] not in _LOADED | _FRUGAL or _PRELOAD in os.environ:
        os.execv(real, [real, *arguments])
    keeper = f"{folder}/{'frugal' if arguments[1] in _FRUGAL else 'everything'}"
    copy = Copy(keeper, arguments, Path.cwd(), os.environ, new_session=True)
    for number in _PASSED_ON:
        signal.signal(number, lambda number, _: _pass_on(copy.pid, number))
    status = copy.wait()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def _pass_on(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    _launch(sys.argv[1], sys.argv[2:])
