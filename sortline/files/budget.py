"""Limits on reading a file: a small file can unpack to more than any memory holds, or keep a reader busy."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from sortline.errors import ImportFileError

_CHECKED_EVERY = 100  # items
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Budget:
    """Limits while a file is decoded; None: no limit.

    ``bytes``: what an archive may unpack to and columns may decode to; ``rows``: most rows; ``seconds``: from now on;
    ``apart``: whether Parquet and workbooks are decoded in a process of limited memory, because this one has no limit.
    """

    bytes: int = 64 * 2**30  # an archive that unpacks to more is treated as a bomb
    rows: int | None = None
    seconds: float | None = None
    apart: bool = False
    _began: float = field(default_factory=time.monotonic)

    def within(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items of a file, as long as the limits allow.

        Raises:
            ImportFileError: the file has more rows than allowed, or takes longer.
        """
        for count, item in enumerate(items, start=1):
            if self.rows is not None and count > self.rows:
                raise ImportFileError(f"it has more than {self.rows:,} rows; split it, or use the command line")
            if self.seconds is not None and count % _CHECKED_EVERY == 0:
                self._check_time(self.seconds)
            yield item

    def _check_time(self, seconds: float) -> None:
        if time.monotonic() - self._began > seconds:
            raise ImportFileError(f"reading it took more than {seconds:g} s; split it, or use the command line")

    def check_bytes(self, size: int) -> None:
        """Check how many bytes something has when decoded.

        Raises:
            ImportFileError: there are too many.
        """
        if size > self.bytes:
            raise ImportFileError(f"it decodes to more than {self.bytes:,} bytes; split it, or use the command line")


AMPLE = Budget(apart=True)
