"""Ctrl-C and SIGTERM for commands that work long: they end at a place where nothing is half done."""

import signal
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
