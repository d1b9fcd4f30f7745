"""Ctrl-C and SIGTERM, for commands that work long or run until they are told to end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """While the block runs, a signal is noted; the second one raises KeyboardInterrupt wherever the code is.

    Raised at once, the first could hit a transaction or a lock, and leave its row or its process as it was.

    Yields:
        What the block calls at such places; it raises KeyboardInterrupt if a signal has come.
    """
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    def check() -> None:
        if came:
            click.echo("stopping", err=True)
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set from now on."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    return asked


def wait_for_signal(asked: threading.Event | None = None) -> None:
    """Wait for Ctrl-C or SIGTERM; ``asked``: what `stop_signals` returned."""
    asked = asked or stop_signals()
    while not asked.wait(1):
        pass


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does; otherwise the process would end, and what it started would go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
