"""Many floats as one parameter. One by one or as JSON, they would cost Postgres and Python more than anything else."""

import struct
from dataclasses import dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_REAL, _REAL_ARRAY = 700, 1021  # Postgres' type OIDs
_ITEM = np.dtype([("size", ">i4"), ("value", ">f4")])


@dataclass(frozen=True, slots=True)
class RealArray:
    """A parameter of type `real[]` with the values (n,)."""

    values: NDArray[np.float32]


class _RealArrayDumper(Dumper):
    """Bytes for Postgres' array_recv: dimensions, nulls, type, length, lower bound, then each size and value."""

    format = Format.BINARY
    oid = _REAL_ARRAY

    def dump(self, obj: RealArray) -> Buffer:
        items = np.empty(len(obj.values), _ITEM)
        items["size"], items["value"] = 4, obj.values
        return struct.pack("!iiIii", 1, 0, _REAL, len(items), 1) + items.tobytes()


psycopg.adapters.register_dumper(RealArray, _RealArrayDumper)
