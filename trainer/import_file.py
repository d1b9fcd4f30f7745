"""Labelled files into the database: documents, with reviews by the reviewer `import`."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.orm import Session

from db.queries.labelled import import_examples, labelled_documents, store_splits
from sortline.text import encode, repair
from trainer.readers import Columns, Row, read_examples
from trainer.split import assign

_CHUNK = 2000
_MOST_BYTES = 2**20


@dataclass
class ImportReport:
    """What an import did; ``bad`` holds (line, reason) of the rows that were refused."""

    rows: int = 0
    documents: int = 0
    reviews: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    bad: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


def import_file(
    session: Session,
    path: Path,
    columns: Columns,
    source: str = "import",
    encoding: str = "utf-8",
    split: str | None = None,
    keep_near_duplicates: bool = False,
    on_rows: Callable[[int], None] = lambda _: None,
) -> ImportReport:
    """Import a file's examples; the same file again adds nothing. The caller commits.

    Args:
        split: gives all new examples this split, instead of one by hash.
        keep_near_duplicates: see `trainer.split.assign`.
        on_rows: called with the number of rows read so far.

    Raises:
        ImportFileError: the file can't be read; rows that can't be are in the report instead.
    """
    began = time.monotonic()
    report = ImportReport()
    rows = read_examples(path, columns, encoding)
    while chunk := list(islice(rows, _CHUNK)):
        report.rows += len(chunk)
        report.bad += [(row.line, row.error) for row in chunk if row.error]
        documents, reviews = _store(session, [row for row in chunk if not row.error], source, report)
        report.documents += documents
        report.reviews += reviews
        on_rows(report.rows)
    assigned = assign(labelled_documents(session), split, keep_near_duplicates)
    splits = [{"id": a.document_id, "group_id": a.group_id, "split": a.split, "forced": a.forced} for a in assigned]
    store_splits(session, orjson.dumps(splits).decode())
    report.splits = dict(Counter(a.split for a in assigned))
    report.seconds = round(time.monotonic() - began, 2)
    return report


def _store(session: Session, rows: Iterable[Row], source: str, report: ImportReport) -> tuple[int, int]:
    unique: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        raw = encode(row.text)
        if len(raw) > _MOST_BYTES:
            report.bad.append((row.line, f"the text has {len(raw):,} bytes, the limit is {_MOST_BYTES:,}"))
            continue
        text, repaired = repair(raw)
        digest = sha256(raw).hexdigest()
        id_ = (row.id or digest[:32])[:200].replace("\x00", "")
        unique[id_, digest] = {
            "source": source, "id": id_, "hash": digest, "text": text, "repaired": repaired,
            "label": row.label.replace("\x00", "")[:200],
        }  # fmt: skip
    if not unique:
        return 0, 0
    labels = sorted({row["label"] for row in unique.values()})
    return import_examples(session, orjson.dumps(list(unique.values())).decode(), labels)
