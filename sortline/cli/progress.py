"""Progress of long work: a bar on a terminal, plain lines elsewhere; always on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_PLAIN_EVERY_S = 10.0


class Update(Protocol):
    """Shows progress; ``total`` None: not known yet; ``what``: another name from now on, empty: the same."""

    def __call__(self, done: float, total: float | None, more: str = "", what: str = "") -> None: ...


@contextmanager
def bar(what: str) -> Iterator[Update]:
    """A progress bar; the block calls the update with (done, total, a short text)."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[more]}"), console=console) as progress:
        task = progress.add_task(what, total=None, more="")

        def update(done: float, total: float | None, more: str = "", what: str = "") -> None:
            progress.update(task, completed=done, total=total, more=more, description=what or None)

        yield update


@contextmanager
def counting(what: str, unit: str) -> Iterator[Callable[[int], None]]:
    """A counter for work whose total is unknown."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_count(what, unit)
        return
    with console.status(what) as status:
        yield lambda count: status.update(f"{what}: {count:,} {unit}")


def _plain(what: str) -> Update:
    last, name = [time.monotonic()], [what]

    def update(done: float, total: float | None, more: str = "", what: str = "") -> None:
        now = time.monotonic()
        name[0] = what or name[0]
        if now - last[0] >= _PLAIN_EVERY_S or (total is not None and done >= total):
            last[0] = now
            shown = f"{done:,.0f}" if total is None else f"{done:,.0f} of {total:,.0f}"
            print(f"{name[0]}: {shown} {more}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201 - progress

    return update


def _plain_count(what: str, unit: str) -> Callable[[int], None]:
    last = [time.monotonic()]

    def update(count: int) -> None:
        if time.monotonic() - last[0] >= _PLAIN_EVERY_S:
            last[0] = time.monotonic()
            print(f"{what}: {count:,} {unit}", file=sys.stderr, flush=True)  # noqa: T201 - progress

    return update
