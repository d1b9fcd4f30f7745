"""How much a file may take while it is read: a small one may hold more than any memory, and keep a reader busy."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from sortline.errors import ImportFileError

_LOOKED_EVERY = 100  # items
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Budget:
    """Bounds on a file, while it is decoded; None: there is none.

    ``bytes``: that an archive may unpack to, and that columns may decode to; ``rows``: of it; ``seconds``: from now on.
    """

    bytes: int = 64 * 2**30  # what unpacks to more is taken for a bomb
    rows: int | None = None
    seconds: float | None = None
    _began: float = field(default_factory=time.monotonic)

    def within(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items of a file, as long as there is something left.

        Raises:
            ImportFileError: the file has more rows, or takes longer.
        """
        for count, item in enumerate(items, start=1):
            if self.rows is not None and count > self.rows:
                raise ImportFileError(f"it has more than {self.rows:,} rows; split it, or use the command line")
            if self.seconds is not None and count % _LOOKED_EVERY == 0:
                self._look(self.seconds)
            yield item

    def _look(self, seconds: float) -> None:
        if time.monotonic() - self._began > seconds:
            raise ImportFileError(f"reading it takes more than {seconds:g} s; split it, or use the command line")

    def check_bytes(self, size: int) -> None:
        """Check how many bytes something has once it is decoded.

        Raises:
            ImportFileError: they are too many.
        """
        if size > self.bytes:
            raise ImportFileError(f"it decodes to more than {self.bytes:,} bytes; split it, or use the command line")


AMPLE = Budget()
