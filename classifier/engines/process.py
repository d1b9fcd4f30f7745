"""The process that computes for several others: ``python -m classifier.engines.process DESCRIPTOR...``.

Each descriptor is the control socket of a process that it computes for (`classifier.engines.remote`). Its interpreter
has nothing else to do: documents are read, tokenised and stored by the others. It ends with the last of them.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifier.engines.choose import choose_engine
from classifier.engines.protocol import Engine, Outputs
from classifier.engines.remote import Array, receive, send
from classifier.engines.shares import Places
from sortline.errors import SortlineError
from sortline.logs import set_up_logging, silence_telemetry
from sortline.settings import Lane, Settings, get_settings

log = logging.getLogger(__name__)

Load = Callable[[Path, Settings, bool], Engine]
_Key = tuple[str, bool]
_NAME_LENGTH = 15  # characters of a thread's name that the kernel keeps
_BESIDE = 1  # further passes that are prepared, received or sent while one computes


@dataclass
class _Loaded:
    engine: Engine
    places: Places
    users: int = 0


class Turns:
    """Forward passes of all, or those of one process alone; thread-safe."""

    def __init__(self) -> None:
        self._running = 0
        self._waiting = 0
        self._alone: int | None = None
        self._changed = threading.Condition()

    @contextmanager
    def together(self, process: int) -> Iterator[None]:
        """A pass of a process; waits while another is alone or is waiting to be."""
        with self._changed:
            while self._alone != process and (self._alone is not None or self._waiting):
                self._changed.wait()
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                if self._waiting:
                    self._changed.notify_all()

    @contextmanager
    def alone(self, process: int) -> Iterator[None]:
        """No passes but those of this process; waits until all others have ended."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._alone is None and not self._running)
            self._waiting -= 1
            self._alone = process
        try:
            yield
        finally:
            with self._changed:
                self._alone = None
                self._changed.notify_all()


class EngineProcess:
    """Loads engines, each once, and runs the passes that the others send.

    Args:
        load: makes an engine of a folder; `choose_engine` but in measurements.
    """

    def __init__(self, settings: Settings, load: Load = choose_engine) -> None:
        self._settings = settings
        self._load = load
        self._engines: dict[_Key, _Loaded] = {}
        self._loading = threading.Lock()
        self._turns = Turns()
        self._live_at: float | None = None  # when the last live pass came

    def serve(self, control: socket.socket, process: int) -> None:
        """Serve the links that come through a control socket, until it is closed."""
        while True:
            try:
                said, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            except OSError:
                said, descriptors = b"", []
            if not said:
                return
            for descriptor in descriptors:
                link = socket.socket(fileno=descriptor)
                name = f"engine-{process}.{descriptor}"
                threading.Thread(target=self._serve_link, args=(link, process), name=name, daemon=True).start()

    def _serve_link(self, link: socket.socket, process: int) -> None:
        _name_thread()
        with link, suppress(OSError):  # the other end may close it while an answer is on its way
            message = receive(link)
            if message is None:
                return
            if message[0]["do"] == "alone":
                with self._turns.alone(process):
                    send(link, {})
                    receive(link)  # until it is closed
            else:
                self._serve_engine(link, process, (message[0]["folder"], message[0]["quantised"]))

    def _serve_engine(self, link: socket.socket, process: int, key: _Key) -> None:
        try:
            loaded = self._take(key)
        except Exception as error:
            if not isinstance(error, SortlineError):
                log.exception("%s can't be loaded", key[0])
            _send_error(link, error)
            return
        try:
            send(link, _described(loaded.engine))
            while (message := receive(link)) is not None:
                head, arrays = message
                try:
                    with self._turns.together(process):  # who waits for this must hold no place
                        told, outputs = self._run(loaded, head["lane"], arrays)
                except Exception as error:
                    _send_error(link, error)
                else:
                    send(link, told, outputs)
        finally:
            self._give_back(key, loaded)

    def _run(self, loaded: _Loaded, lane: Lane, arrays: Sequence[Array]) -> tuple[dict[str, Any], Outputs]:
        """Outputs, after what an answer says of a pass: how long it took, and how long ago the last live pass came."""
        if lane == "live":
            self._live_at = time.monotonic()
        loaded.places.take(lane)
        started = time.monotonic()
        try:
            outputs = loaded.engine.run(*_inputs(arrays))
        finally:
            ended = time.monotonic()
            loaded.places.leave(lane, ended - started)
        live_ago_s = None if self._live_at is None else ended - self._live_at
        return {"seconds": ended - started, "live_ago_s": live_ago_s}, outputs

    def _take(self, key: _Key) -> _Loaded:
        with self._loading:
            if key not in self._engines:
                engine = self._load(Path(key[0]), self._settings, key[1])
                self._engines[key] = _Loaded(engine, Places(_at_once(engine), self._settings.bulk_share))
            loaded = self._engines[key]
            loaded.users += 1
            return loaded

    def _give_back(self, key: _Key, loaded: _Loaded) -> None:
        with self._loading:
            loaded.users -= 1
            if not loaded.users:
                del self._engines[key]


def _at_once(engine: Engine) -> int:
    """The number of passes that run at once, and that each process may ask for at once beside a live one."""
    return engine.parallel + _BESIDE if engine.parallel == 1 else engine.parallel


def _described(engine: Engine) -> dict[str, Any]:
    return {
        "name": engine.name,
        "parallel": _at_once(engine),
        "tokens_per_batch": engine.tokens_per_batch,
        "overhead": engine.overhead,
        "width": engine.width,
        "hidden": engine.hidden,
        "slow_at_first": engine.slow_at_first,
    }


def _inputs(arrays: Sequence[Array]) -> tuple[Array, Array]:
    return (arrays[0], arrays[1]) if len(arrays) > 1 else (arrays[0], np.ones_like(arrays[0]))


def _send_error(link: socket.socket, error: Exception) -> None:
    send(link, {"error": str(error) or type(error).__name__, "kind": type(error).__name__})


def _name_thread() -> None:
    """Give the kernel this thread's name, which tells it from those that libraries start (Linux)."""
    with suppress(OSError):
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(
            threading.current_thread().name[:_NAME_LENGTH]
        )


def main(descriptors: Sequence[int], load: Load = choose_engine) -> None:
    """Compute until every process that it computes for has ended."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # what a terminal or a service manager sends to all of a worker
        signal.signal(ignored, signal.SIG_IGN)
    settings = get_settings()
    silence_telemetry()
    set_up_logging(settings.log_level, settings.log_format)
    process = EngineProcess(settings, load)
    threads = [
        threading.Thread(target=process.serve, args=(socket.socket(fileno=each), number), daemon=True)
        for number, each in enumerate(descriptors)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logging.shutdown()
    os._exit(0)  # a pass that hangs must not keep it


if __name__ == "__main__":
    main([int(each) for each in sys.argv[1:]])
