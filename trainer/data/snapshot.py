"""The labelled documents of one training run, frozen: ids, labels, splits and text hashes, no texts.

A label id that is null says that no label fits.
"""

from collections.abc import Iterator
from hashlib import sha256
from sys import intern
from typing import Any

import pyarrow
import pyarrow.parquet
from sqlalchemy.orm import Session

from classifier.figures import SnapshotCounts
from classifier.store_uri import read_bytes, write_bytes
from db.models import Snapshot
from db.queries import labels, snapshots
from db.queries.labelled import Labelled, texts
from sortline.errors import TrainingError
from trainer.data.training_data import PARTS, TrainingData, with_labels

_AT_ONCE = 50_000  # documents that are written or read
_SCHEMA = pyarrow.schema(
    [
        ("document_id", pyarrow.int64()),
        ("label_id", pyarrow.int32()),
        ("split", pyarrow.string()),
        ("content_hash", pyarrow.binary(32)),
        ("origin", pyarrow.string()),
        ("group_id", pyarrow.int64()),
        ("drawn_with", pyarrow.float64()),
    ]
)


def store_snapshot(session: Session, data: TrainingData, store: str, name: str) -> Snapshot:
    """Write the snapshot's file into the model store, its row, and the rows of its decisions; the caller commits.

    Args:
        store: folder or fsspec URL of the model store.
        name: start of the file's name.
    """
    raw = _parquet(data)
    digest = sha256(raw).hexdigest()
    uri = f"{store.rstrip('/')}/snapshots/{name}-{digest[:12]}.parquet"
    write_bytes(uri, raw)
    row = snapshots.create(session, uri, digest, data.counts.stored())
    for part, documents in _parts(data):
        reviews = [(review, part) for document in documents for review in document.review_ids]
        snapshots.add_reviews(session, row.id, reviews)
    return row


def read_snapshot(session: Session, row: Snapshot) -> TrainingData:
    """The documents of a stored snapshot, with their texts; what was erased since is missing.

    Raises:
        TrainingError: the file is not what its row says.
    """
    raw = _read(row.uri)
    if sha256(raw).hexdigest() != row.sha256:
        raise TrainingError(f"snapshot {row.id} was changed: its sha256 differs from that of its row")
    names = {label.id: label.name for label in labels.listing(session)}
    parts: dict[str, list[Labelled]] = {part: [] for part in PARTS}
    for batch in pyarrow.parquet.ParquetFile(pyarrow.BufferReader(raw)).iter_batches(_AT_ONCE):
        rows: list[dict[str, Any]] = batch.to_pylist()
        found = texts(session, [each["document_id"] for each in rows])
        for each in rows:
            if each["document_id"] in found:
                parts[each["split"]].append(_document(each, found, names))
    return with_labels(parts, SnapshotCounts.model_validate(row.counts))


def _document(row: dict[str, Any], found: dict[int, str], names: dict[int, str]) -> Labelled:
    return Labelled(
        row["document_id"], found[row["document_id"]], row["content_hash"], row["label_id"],
        "" if row["label_id"] is None else names[row["label_id"]], row["origin"] != "review", row["group_id"],
        intern(row["split"]), intern(row["origin"]), drawn_with=row.get("drawn_with"),
    )  # fmt: skip


def _parts(data: TrainingData) -> Iterator[tuple[str, list[Labelled]]]:
    """Some documents of a part at a time, with its name."""
    for name in PARTS:
        documents = getattr(data, name)
        for start in range(0, len(documents), _AT_ONCE):
            yield name, documents[start : start + _AT_ONCE]


def _parquet(data: TrainingData) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.parquet.ParquetWriter(sink, _SCHEMA, use_dictionary=["split", "origin"]) as file:
        for name, documents in _parts(data):
            rows = [(d.id, d.label_id, name, d.content_hash, d.origin, d.group_id, d.drawn_with) for d in documents]
            columns = zip(zip(*rows, strict=True), _SCHEMA, strict=True)
            file.write_table(pyarrow.table([pyarrow.array(c, f.type) for c, f in columns], schema=_SCHEMA))
    return bytes(sink.getvalue().to_pybytes())


def _read(uri: str) -> bytes:
    try:
        return read_bytes(uri)
    except OSError as error:
        raise TrainingError(f"snapshot {uri} can't be read: {error.strerror or error}") from None
