"""Rows of a file that repeat an earlier one (the same text and id), found in little memory: 17 bytes a row."""

from array import array
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from sortline.files.rows import Row


class Repeats:
    """Takes a file's rows in order; then says which are superseded by a later one.

    Rows are distinguished by 64 bits of a hash: the chance that any two of ten million are confused is 3 in a million
    (birthday problem).
    """

    def __init__(self) -> None:
        self._keys, self._lines = array("Q"), array("q")

    def add(self, row: Row) -> None:
        """The next row that can be read."""
        key = blake2b(f"{row.id}\x00{row.text}".encode(), digest_size=8).digest()
        self._keys.append(int.from_bytes(key, "little"))
        self._lines.append(row.line)

    def superseded(self) -> frozenset[int]:
        """Lines of rows that a later row repeats."""
        keys = np.frombuffer(self._keys, dtype=np.uint64)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        before: NDArray[np.bool_] = ordered[:-1] == ordered[1:]
        lines = np.frombuffer(self._lines, dtype=np.int64)
        return frozenset(int(line) for line in lines[order[:-1][before]])
