"""The labelled documents of one training run, frozen: ids, labels, splits and text hashes, no texts."""

import os
from hashlib import sha256
from pathlib import Path

import fsspec
import pyarrow
import pyarrow.parquet
from sqlalchemy.orm import Session

from db.models import Snapshot
from db.queries import snapshots
from trainer.split import HELD_OUT, LEFT_OUT
from trainer.training_data import TrainingData

_SPLITS = ("train", *HELD_OUT, LEFT_OUT)


def store_snapshot(session: Session, data: TrainingData, store: str, run_id: int) -> Snapshot:
    """Write the snapshot's file into the model store, and its row; the caller commits.

    Args:
        store: folder or fsspec URL of the model store.
    """
    raw = _parquet(data)
    digest = sha256(raw).hexdigest()
    uri = f"{store.rstrip('/')}/snapshots/{run_id}-{digest[:12]}.parquet"
    _write(uri, raw)
    return snapshots.create(session, uri, digest, data.counts)


def _parquet(data: TrainingData) -> bytes:
    rows = [(document, name) for name in _SPLITS for document in getattr(data, name)]
    table = pyarrow.table(
        {
            "document_id": pyarrow.array([document.id for document, _ in rows], pyarrow.int64()),
            "label_id": pyarrow.array([document.label_id for document, _ in rows], pyarrow.int32()),
            "split": pyarrow.array([name for _, name in rows], pyarrow.string()),
            "content_hash": pyarrow.array([document.content_hash for document, _ in rows], pyarrow.binary(32)),
        }
    )
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, use_dictionary=["split"])
    return bytes(sink.getvalue().to_pybytes())


def _write(uri: str, raw: bytes) -> None:
    if "://" in uri:
        with fsspec.open(uri, "wb") as remote:
            remote.write(raw)
        return
    path = Path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp")
    with partial.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
