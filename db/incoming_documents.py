"""Many classified documents as one parameter. As JSON, reading them was a seventh of what they cost Postgres."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import psycopg
from numpy.typing import ArrayLike
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

# Postgres' type OIDs.
_BOOL, _BYTEA, _INT2, _INT4, _TEXT, _REAL, _DOUBLE, _RECORD, _JSONB = 16, 17, 21, 23, 25, 700, 701, 2249, 3802
# The numbers of the type `incoming_document`, which come after its texts. Where they are NaN or 0, `db.queries.intake`
# takes a fit, an unknown share or a revision for null; no vector has the place 0.
_NUMBERS = {
    "version": (_INT4, ">i4"), "revision": (_INT4, ">i4"), "label": (_INT4, ">i4"), "confidence": (_REAL, ">f4"),
    "fit": (_REAL, ">f4"), "margin": (_REAL, ">f4"), "first": (_INT4, ">i4"), "labels": (_INT4, ">i4"),
    "accepted": (_BOOL, "?"), "repaired": (_BOOL, "?"), "truncated": (_BOOL, "?"), "windows": (_INT2, ">i2"),
    "unknown_share": (_REAL, ">f4"), "encoder": (_INT4, ">i4"), "vector": (_INT4, ">i4"), "chance": (_DOUBLE, ">f8"),
}  # fmt: skip
_ROW = np.dtype([
    field for name, (_, kind) in _NUMBERS.items()
    for field in ((f"{name} oid", ">u4"), (f"{name} size", ">i4"), (name, kind))
])  # fmt: skip
_TEMPLATE = np.zeros(1, _ROW)
for _name, (_oid, _kind) in _NUMBERS.items():
    _TEMPLATE[f"{_name} oid"], _TEMPLATE[f"{_name} size"] = _oid, np.dtype(_kind).itemsize
_TEXTS = 8
_COUNT = struct.pack("!i", _TEXTS + len(_NUMBERS))
_head = struct.Struct("!Ii").pack
_size = struct.Struct("!i").pack
_HASH, _NO_META = _head(_BYTEA, 32), _head(_JSONB, -1)


# Source, id, sha256 of the text in hexadecimal, text, entry id, and meta as JSON.
Texts: TypeAlias = tuple[str, str, str, str, str, bytes | None]


@dataclass(frozen=True, slots=True)
class IncomingDocuments:
    """A parameter of type `incoming_document[]` with rows that `pack` has made."""

    rows: Sequence[bytes]


def pack(lane: str, form: str, texts: Iterable[Texts], count: int, numbers: Mapping[str, ArrayLike]) -> list[bytes]:
    """The rows of ``count`` documents, as Postgres' record_recv takes them.

    Args:
        numbers: of each name in `_NUMBERS`, one for each document, or one for all.
    """
    table = np.repeat(_TEMPLATE, count)
    for name in _NUMBERS:
        table[name] = numbers[name]
    packed, width = table.tobytes(), _ROW.itemsize
    front = _COUNT + _text(lane) + _text(form)
    sources: dict[str, bytes] = {}
    rows = []
    start = 0
    for source, id_, hash_, text, entry_id, meta in texts:
        known = sources.get(source)
        if known is None:
            known = sources[source] = front + _text(source)
        own, body, entry = id_.encode(), text.encode(), entry_id.encode()
        rows.append(b"".join((  # written out: a call for each text would cost as much again
            known, _head(_TEXT, len(own)), own, _HASH, bytes.fromhex(hash_), _head(_TEXT, len(body)), body,
            _head(_TEXT, len(entry)), entry, _NO_META if meta is None else _meta(meta), packed[start : start + width],
        )))  # fmt: skip
        start += width
    return rows


def _meta(value: bytes) -> bytes:
    return _head(_JSONB, 1 + len(value)) + b"\x01" + value  # the 1 is the version of jsonb's binary form


def _text(value: str) -> bytes:
    raw = value.encode()
    return _head(_TEXT, len(raw)) + raw


class _IncomingDocumentsDumper(Dumper):
    """Bytes for Postgres' array_recv: dimensions, nulls, type, length, lower bound, then each row after its size."""

    format = Format.BINARY
    oid = 0  # the statement says what it is: the type has another number in each database

    def dump(self, obj: IncomingDocuments) -> Buffer:
        if not obj.rows:
            return struct.pack("!iiI", 0, 0, _RECORD)
        parts = [part for row in obj.rows for part in (_size(len(row)), row)]
        return struct.pack("!iiIii", 1, 0, _RECORD, len(obj.rows), 1) + b"".join(parts)


psycopg.adapters.register_dumper(IncomingDocuments, _IncomingDocumentsDumper)
