"""`python -m MODULE` without the loading: the process begins as a copy of one that has loaded the code.

To load torch and transformers takes a fine-tuning five seconds of processor time, and the fine-tuning of a tiny model
none to speak of. As the launcher of fine-tunings (`training_launcher`) this file hands the command over:

    fine_tune ──► launcher ──socket──► keeper ──fork──► the copy, which has the launcher's streams, folder and environment

The launcher waits for the copy and ends as it did; the copy is killed when the launcher is.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MODULES = ("trainer.fine_tuning.process", "torch._dynamo", "transformers.models.bert.modeling_bert")


@contextmanager
def fine_tunings() -> Iterator[str]:
    """The setting `training_launcher` for the block."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    # A path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="sortline-loaded-") as folder:
        place = f"{folder}/socket"
        command = [sys.executable, "-m", "tests.loaded", place]
        # Its standard input ends with us, however we end.
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
            assert keeper.stdin is not None and keeper.stdout is not None
            assert keeper.stdout.readline(), "the keeper ended"
            # Isolated and without site: a launcher needs the standard library alone.
            yield f"{sys.executable} -I -S {__file__} {place}"
            keeper.stdin.close()


def _keep(place: str) -> None:
    """Make a copy for each launcher that asks; the code is loaded when the first one does."""
    import importlib
    import selectors

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, selectors.DefaultSelector() as ready:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        ready.register(0, selectors.EVENT_READ)
        ready.register(listener, selectors.EVENT_READ)
        while all(key.fileobj != 0 for key, _ in ready.select()):
            asking, _ = listener.accept()
            for module in _MODULES:
                importlib.import_module(module)
            if os.fork() == 0:
                _mind(asking)
            asking.close()


def _mind(asking: socket.socket) -> None:
    """Start a copy, tell its launcher how it ended, and end it when the launcher does."""
    import select

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    raw, streams, _, _ = socket.recv_fds(asking, 2**20, 3)
    if not raw:
        os._exit(0)
    copy = os.fork()
    if copy == 0:
        asking.close()
        _run(json.loads(raw), streams)
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(copy)
    if ended not in select.select([asking, ended], [], [])[0]:
        os.kill(copy, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    try:
        asking.sendall(str(status).encode())
    finally:
        os._exit(0)


def _run(asked: dict[str, object], streams: list[int]) -> None:
    """In the copy: be what ``python -m MODULE`` would have been."""
    import runpy
    import traceback

    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(str(asked["folder"]))
    os.environ.clear()
    os.environ.update(asked["environment"])  # type: ignore[arg-type]
    _, module, *arguments = asked["command"]  # type: ignore[misc]
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)
    status = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _launch(place: str, command: list[str]) -> None:
    """Let a copy run the command, and end as it does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as keeper:
        keeper.connect(place)
        asked = {"command": command, "folder": str(Path.cwd()), "environment": dict(os.environ)}
        # Asked to end, say so and wait: who asked may go on in the same folder.
        signal.signal(signal.SIGTERM, lambda *_: keeper.shutdown(socket.SHUT_WR))
        socket.send_fds(keeper, [json.dumps(asked).encode()], [0, 1, 2])
        status = int(keeper.recv(16) or b"1")
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    _keep(sys.argv[1]) if len(sys.argv) == 2 else _launch(sys.argv[1], sys.argv[2:])
