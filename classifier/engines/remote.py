"""An engine that runs in another process, which several processes of a worker share (`classifier.engines.process`).

A process has one control socket to it. Each request that may run at the same time as others has a link of its own: a
pair of connected sockets, of which one is sent through the control socket. Nothing has a name in the file system, and
the kernel closes everything with the process that ends.
"""

import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from classifier.engines.protocol import Outputs
from sortline.errors import CheckpointError, ConfigurationError
from sortline.settings import Lane

_ERRORS: dict[str, type[Exception]] = {each.__name__: each for each in (CheckpointError, ConfigurationError)}
_HEAD_BYTES = 4

Array = NDArray[Any]


@dataclass(slots=True)
class Passes:
    """Forward passes of one thread: in which lane they run, and what is known of those that ran in another process.

    ``computed_s``: how long that process computed them, without the time that they waited for others; None: they ran in
    this process. ``live_at``: when a live pass of any process came there last (time.monotonic of this one).
    """

    lane: Lane = "bulk"
    computed_s: float | None = None
    live_at: float = float("-inf")

    def note(self, computed_s: float, live_ago_s: float | None) -> None:
        """Note what the other process says of a pass."""
        self.computed_s = (self.computed_s or 0.0) + computed_s
        if live_ago_s is not None:
            self.live_at = max(self.live_at, time.monotonic() - live_ago_s)


class Channel:
    """This process's way to the one that computes; thread-safe.

    Args:
        control: the control socket.
        lost: ends this process, because the other one is gone. No document is to blame for that.
    """

    def __init__(self, control: socket.socket, lost: Callable[[], NoReturn]) -> None:
        self._control = control
        self._lost = lost
        self._sending = threading.Lock()

    def link(self) -> socket.socket:
        """A new link."""
        ours, theirs = socket.socketpair()
        with theirs, self._sending:
            try:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
            except OSError:
                self._lost()
        return ours

    def ask(self, link: socket.socket, head: dict[str, Any], arrays: Sequence[Array] = ()) -> tuple[Any, list[Array]]:
        """Send a request and wait for the answer.

        Raises:
            CheckpointError: what was to be loaded can't be.
            ConfigurationError: the settings name an engine that the other process does not have.
            RuntimeError: any other failure there.
        """
        try:
            send(link, head, arrays)
            answer = receive(link)
        except OSError:
            answer = None
        if answer is None:
            self._lost()
        if "error" in answer[0]:
            raise _ERRORS.get(answer[0]["kind"], RuntimeError)(answer[0]["error"])
        return answer

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While this lasts, the other process runs no forward pass of anybody else; waits until that is so."""
        with self.link() as link:
            self.ask(link, {"do": "alone"})
            yield


class RemoteEngine:
    """An engine of the process at the other end of a channel. It is unloaded there once nobody uses it any more.

    Args:
        folder: the checkpoint.
        quantised: as `classifier.engines.choose.choose_engine` takes it.

    Raises:
        CheckpointError: the folder can't be loaded.
        ConfigurationError: the settings name an engine that the other process does not have.
    """

    def __init__(self, channel: Channel, folder: Path, quantised: bool) -> None:
        self._channel = channel
        self._load = {"do": "load", "folder": str(folder.resolve()), "quantised": quantised}
        self._links: deque[socket.socket] = deque()
        weakref.finalize(self, _close, self._links)
        link, described = self._loaded()
        self._links.append(link)
        self.name: str = described["name"]
        self.parallel: int = described["parallel"]
        self.tokens_per_batch: int = described["tokens_per_batch"]
        self.overhead: int = described["overhead"]
        self.width: int = described["width"]
        self.hidden: int = described["hidden"]
        self.slow_at_first: bool = described["slow_at_first"]

    def run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Outputs:
        """The outputs of token ids (rows, length) and their mask; thread-safe.

        Raises:
            RuntimeError: the forward pass failed.
        """
        masks = () if attention_mask.all() else (attention_mask,)
        try:
            link = self._links.pop()
        except IndexError:  # as many passes as there are links run already
            link, _ = self._loaded()
        passes = _of_thread()
        try:
            told, outputs = self._channel.ask(link, {"do": "run", "lane": passes.lane}, (input_ids, *masks))
        finally:
            self._links.append(link)
        passes.note(told["seconds"], told["live_ago_s"])
        return Outputs(*outputs)

    def _loaded(self) -> tuple[socket.socket, dict[str, Any]]:
        link = self._channel.link()
        try:
            return link, self._channel.ask(link, self._load)[0]
        except BaseException:
            link.close()
            raise


def send(link: socket.socket, head: dict[str, Any], arrays: Sequence[Array] = ()) -> None:
    """Send a message: a head in JSON, which also describes the arrays, and the arrays as they lie in memory."""
    described = orjson.dumps({**head, "arrays": [[each.dtype.str, each.shape] for each in arrays]})
    link.sendall(len(described).to_bytes(_HEAD_BYTES, "little") + described)
    for each in arrays:
        if each.size:
            link.sendall(np.ascontiguousarray(each).data.cast("B"))


def receive(link: socket.socket) -> tuple[dict[str, Any], list[Array]] | None:
    """Receive a message; None: the other end is closed."""
    size = bytearray(_HEAD_BYTES)
    if not _fill(link, memoryview(size)):
        return None
    packed = bytearray(int.from_bytes(size, "little"))
    if not _fill(link, memoryview(packed)):
        return None
    head: dict[str, Any] = orjson.loads(packed)
    arrays = [np.empty(shape, dtype) for dtype, shape in head["arrays"]]
    complete = all(_fill(link, each.data.cast("B")) for each in arrays if each.size)
    return (head, arrays) if complete else None


def _fill(link: socket.socket, view: memoryview) -> bool:
    while view:
        count = link.recv_into(view, len(view), socket.MSG_WAITALL)
        if not count:
            return False
        view = view[count:]
    return True


def _close(links: deque[socket.socket]) -> None:
    for link in links:
        link.close()


_channel: Channel | None = None
_here = threading.local()


def use(channel: Channel | None) -> None:
    """From now on, engines that this process chooses run at the other end of the channel; None: in this process."""
    global _channel  # noqa: PLW0603 - a process computes in one place, whoever in it loads a checkpoint
    _channel = channel


def channel() -> Channel | None:
    """The channel that engines are to be chosen through; None: they run in this process."""
    return _channel


@contextmanager
def passes_of(lane: Lane) -> Iterator[Passes]:
    """While this lasts, passes of this thread belong to that lane, for an engine in another process; else to bulk."""
    _here.passes = passes = Passes(lane)
    try:
        yield passes
    finally:
        del _here.passes


def _of_thread() -> Passes:
    found: Passes = getattr(_here, "passes", None) or Passes()
    return found
