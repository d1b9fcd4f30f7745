"""Many vectors as one parameter, and the vectors that Postgres gives back."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BYTEA = 17  # Postgres' type OID
_LARGEST = float(np.finfo(np.float16).max)
_HEAD = 4  # bytes in front of a vector's numbers: how many they are, and nothing

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VectorArray:
    """A parameter of type `embedding[]` with the rows of some arrays (n, d), one array after another."""

    parts: Sequence[Matrix]


class _VectorArrayDumper(Dumper):
    """Bytes for Postgres' array_recv; each item is as pgvector's halfvec_recv takes it, in half precision."""

    format = Format.BINARY
    oid = 0  # the statement says what it is: a domain has another number in each database

    def dump(self, obj: VectorArray) -> Buffer:
        count = sum(map(len, obj.parts))
        if not count:
            return struct.pack("!iiI", 0, 0, _BYTEA)
        items = b"".join(_items(part).tobytes() for part in obj.parts)
        return struct.pack("!iiIii", 1, 0, _BYTEA, count, 1) + items


def _items(vectors: Matrix) -> NDArray[np.void]:
    width = vectors.shape[1]
    items = np.zeros(len(vectors), [("size", ">i4"), ("width", ">i2"), ("unused", ">i2"), ("values", ">f2", (width,))])
    items["size"], items["width"] = _HEAD + 2 * width, width
    items["values"] = np.clip(np.nan_to_num(vectors), -_LARGEST, _LARGEST)
    return items


def read_vectors(raw: bytes | memoryview | None, width: int) -> Matrix:
    """Vectors (n, width) from what `string_agg(embedding_bytes(vector), '')` gave."""
    if not raw:
        return np.empty((0, width), np.float32)
    items = np.frombuffer(raw, np.dtype([("width", ">i2"), ("unused", ">i2"), ("values", ">f2", (width,))]))
    return np.ascontiguousarray(items["values"], np.float32)


psycopg.adapters.register_dumper(VectorArray, _VectorArrayDumper)
