"""The labelled documents of one training run, frozen: ids, labels, splits and text hashes, no texts."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec
import pyarrow
import pyarrow.parquet
from sqlalchemy.orm import Session

from db.models import Snapshot
from db.queries.labelled import Labelled
from sortline.errors import TrainingError
from trainer.near_duplicates import groups, near_duplicate_pairs
from trainer.split import HELD_OUT, leaks

_BORROWED = 0.05
_LEAST_EXAMPLES = 2


@dataclass(frozen=True)
class TrainingData:
    """What one run trains and is judged on; ``counts`` says how it came about."""

    train: list[Labelled]
    validation: list[Labelled]
    test: list[Labelled]
    labels: list[tuple[int, str]]
    counts: dict[str, Any]


def select(documents: Sequence[Labelled], keep_near_duplicates: bool = False) -> TrainingData:
    """Choose what trains, validates and tests.

    Training texts that nearly repeat held-out ones are left out, whichever came first. Where no document
    validates (a file imported with `--split train`), a twentieth of the training groups, drawn by hash, is
    taken from training for it.

    Raises:
        TrainingError: there are no examples, or they have one label only.
    """
    splits = {document.id: document.split or "train" for document in documents}
    group_of = groups(len(documents), near_duplicate_pairs([document.text for document in documents]))
    if not keep_near_duplicates:
        held = {int(g) for d, g in zip(documents, group_of, strict=True) if splits[d.id] in HELD_OUT}
        for document, group in zip(documents, group_of, strict=True):
            if splits[document.id] == "train" and int(group) in held:
                splits[document.id] = "left_out"
    borrowed = "validation" not in splits.values()
    if borrowed:
        for document, group in zip(documents, group_of, strict=True):
            key = documents[int(group)].content_hash
            if splits[document.id] == "train" and document.may_be_held_out and key[0] < _BORROWED * 256:
                splits[document.id] = "validation"
    by_split = {name: [d for d in documents if splits[d.id] == name] for name in ("train", *HELD_OUT)}
    examples = Counter(d.label for d in by_split["train"])
    _check(examples)
    known = {d.label for d in by_split["train"]}
    held_out = {name: [d for d in by_split[name] if d.label in known] for name in HELD_OUT}
    counts = {
        "train": len(by_split["train"]),
        **{name: len(found) for name, found in held_out.items()},
        "left_out": sum(split == "left_out" for split in splits.values()),
        "validation_borrowed": borrowed,
        "leaks": leaks(documents, splits),
        "few_examples": sorted(label for label, count in examples.items() if count < _LEAST_EXAMPLES),
        "untrained_labels": sorted({d.label for d in documents} - known),
    }
    labels = sorted({(d.label_id, d.label) for d in by_split["train"]}, key=lambda pair: pair[1])
    return TrainingData(by_split["train"], held_out["validation"], held_out["test"], labels, counts)


def store_snapshot(session: Session, data: TrainingData, store: str, run_id: int) -> Snapshot:
    """Write the snapshot's file into the model store, and its row; the caller commits."""
    rows = [(d, name) for name in ("train", *HELD_OUT) for d in getattr(data, name)]
    table = pyarrow.table(
        {
            "document_id": pyarrow.array([d.id for d, _ in rows], pyarrow.int64()),
            "label_id": pyarrow.array([d.label_id for d, _ in rows], pyarrow.int32()),
            "split": pyarrow.array([name for _, name in rows]).dictionary_encode(),
            "content_hash": pyarrow.array([d.content_hash for d, _ in rows], pyarrow.binary(32)),
        }
    )
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    raw = sink.getvalue().to_pybytes()
    digest = sha256(raw).hexdigest()
    uri = f"{store.rstrip('/')}/snapshots/{run_id}-{digest[:12]}.parquet"
    _write(uri, raw)
    row = Snapshot(uri=uri, sha256=digest, counts=data.counts)
    session.add(row)
    session.flush()
    return row


def _check(examples: Counter[str]) -> None:
    if not examples:
        raise TrainingError("there are no labelled documents to train on; `sortline import FILE` brings some")
    if len(examples) == 1:
        raise TrainingError(f"all labelled documents have the same label, {next(iter(examples))!r}")


def _write(uri: str, raw: bytes) -> None:
    if "://" not in uri:
        path = Path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.tmp")
        with partial.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        return
    with fsspec.open(uri, "wb") as remote:
        remote.write(raw)
