"""The process that has loaded the code, and forks (see tests/loaded.py): ``python -m tests.keeper SOCKET INTERPRETER``."""

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

# Libraries, and what of Sortline only defines things. Not what reads the settings or registers metrics as it is loaded:
# a copy has to find those undone. classifier.engines is first, because it keeps a library from starting a thread.
_MODULES = (
    "classifier.engines", "classifier.explain", "classifier.engines.openvino_convert",
    "classifier.engines.torch_engine", "torch._dynamo", "transformers.models.bert.modeling_bert", "openvino",
    "trainer.fine_tuning.process", "trainer.run", "trainer.data.preview", "captum.attr",
    "celery.bin.celery", "celery.apps.beat", "celery.apps.worker", "celery.concurrency.thread",
    "celery.events.state", "celery.worker.components", "celery.worker.autoscale", "celery.worker.control",
    "kombu.transport.redis", "prometheus_client", "sqlalchemy.dialects.postgresql.psycopg", "psycopg_binary",
    "uvicorn.protocols.http.httptools_impl", "uvicorn.loops.uvloop", "uvicorn.lifespan.on", "web.app",
    "monitoring.status",
)  # fmt: skip
# Of the frugal keeper.
_FEW = ("web.imports.upload_process", "trainer.data.import_file", "trainer.data.preview")
# What a process of Python's own would have in front of these depends on how it was started.
_PATH = [path for path in sys.path[1:] if path not in os.environ["PYTHONPATH"].split(os.pathsep)]


class Keeper:
    """Makes a copy for each who asks, and tells it the copy's process id, then how it ended."""

    def __init__(self, listener: socket.socket, interpreter: str) -> None:
        self._listener = listener
        self._is_frugal = Path(listener.getsockname()).name == "frugal"
        self._interpreter = interpreter
        self._ready = selectors.DefaultSelector()
        self._running: set[int] = set()
        self._listen(0, self._leave)
        self._listen(listener, self._accept)
        self._loaded = False

    def run(self) -> NoReturn:
        """Serve until the standard input ends."""
        while True:
            for key, _ in self._ready.select():
                # What was just done may have ended the wait for it, and begun another under its number.
                if self._ready.get_map().get(key.fd) is key:
                    key.data()

    def _listen(self, to: Any, call: Callable[[], object]) -> None:
        self._ready.register(to, selectors.EVENT_READ, call)

    def _accept(self) -> None:
        asking, _ = self._listener.accept()
        self._listen(asking, lambda: self._answer(asking))

    def _answer(self, asking: socket.socket) -> None:
        """Start the copy that is asked for."""
        self._ready.unregister(asking)
        raw, streams, _, _ = socket.recv_fds(asking, 2**20, 3)
        if not raw:
            asking.close()
            return
        asked = json.loads(raw)
        self._load()
        copy = os.fork()
        if copy == 0:
            self._forget(asking)
            sys.executable = self._interpreter
            _be(asked, streams)
        for stream in streams:
            os.close(stream)
        with suppress(OSError):  # one that has gone is noticed below
            asking.sendall(str(copy).encode())
        self._running.add(copy)
        ended = os.pidfd_open(copy)
        self._listen(ended, lambda: self._tell(asking, copy, ended))
        self._listen(asking, lambda: self._end(asking, copy))

    def _load(self) -> None:
        """Load the code when the first one asks."""
        if self._loaded:
            return
        for module in self._modules():
            importlib.import_module(module)
        # A collection in a copy would write to all that it shares with us, and so make it its own.
        gc.collect()
        gc.freeze()
        self._loaded = True

    def _modules(self) -> Sequence[str]:
        if self._is_frugal:
            return _FEW
        from sortline.cli import _COMMANDS, module_of

        return [*_MODULES, *map(module_of, _COMMANDS)]

    def _end(self, asking: socket.socket, copy: int) -> None:
        """End a copy whose asker has gone."""
        self._ready.unregister(asking)
        os.kill(copy, signal.SIGKILL)

    def _tell(self, asking: socket.socket, copy: int, ended: int) -> None:
        self._ready.unregister(ended)
        os.close(ended)
        status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        self._running.remove(copy)
        with suppress(KeyError):
            self._ready.unregister(asking)
        with suppress(OSError):
            asking.sendall(str(status).encode())
        asking.close()

    def _leave(self) -> NoReturn:
        """End with the tests' process, and let nothing go on without it."""
        for copy in self._running:
            os.kill(copy, signal.SIGKILL)
        sys.exit(0)

    def _forget(self, asking: socket.socket) -> None:
        """Close, in a copy, what is the keeper's."""
        asking.close()
        for key in self._ready.get_map().values():
            os.close(key.fd)
        self._ready.close()


def _be(asked: dict[str, Any], streams: list[int]) -> NoReturn:
    """In the copy: be what was asked for."""
    import atexit
    import threading
    import traceback

    status = 1
    try:
        _dress(asked, streams)
        _run(asked["command"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        status = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
    # As the interpreter ends, but for the time that it would take to clear all that is loaded.
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _dress(asked: dict[str, Any], streams: list[int]) -> None:
    """Take the streams, the folder, the environment and what Python makes of them."""
    if asked["new_session"]:
        os.setsid()
    # As in a terminal, however the tests were started: what runs in the background ignores it, and so does the keeper.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        if stream > 2:
            os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    tempfile.tempdir = None  # it is found anew
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace")
    sys.stdout.reconfigure(write_through=at_once)
    sys.stderr.reconfigure(line_buffering=True, write_through=at_once)
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [asked["folder"], *filter(None, given), *_PATH]
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def _run(command: list[str]) -> None:
    import runpy

    if command[0] == "sortline":
        from sortline.cli import main

        sys.argv = command
        main()
        return
    kind, what, *arguments = command
    if kind == "-c":
        sys.argv = ["-c", *arguments]
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [what, *arguments]
        if not hasattr(sys.modules.get(what), "__path__"):
            sys.modules.pop(what, None)  # it is run anew, under another name
        runpy.run_module(what, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as opened:
        opened.bind(sys.argv[1])
        opened.listen(64)
        print("ready", flush=True)
        Keeper(opened, sys.argv[2]).run()
