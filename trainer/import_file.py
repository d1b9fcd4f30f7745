"""Labelled files into the database: documents, with reviews by the reviewer `import`."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.orm import Session

from db.queries.labelled import import_examples
from sortline.errors import ImportFileError
from sortline.text import encode, repair
from trainer.readers import Columns, Row, read_examples
from trainer.split import assign_new

OnProgress = Callable[[int, int | None, str], None]

_CHUNK = 2000
_TELL_EVERY = 500
_ID_LENGTH = 32  # hexadecimal digits of the text's sha256 that stand for a missing id


@dataclass
class ImportReport:
    """What an import did.

    ``rows``: in the file; ``documents``, ``reviews``: new in the database; ``repeated``: rows whose text (and id)
    stood in the file before; ``contradictions``: those among them that had another label, of which the last
    counts; ``splits``: of the new documents; ``bad``: (line, reason) of rows that were refused.
    """

    rows: int = 0
    documents: int = 0
    reviews: int = 0
    repeated: int = 0
    contradictions: int = 0
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
    encoding: str = "",
    split: str | None = None,
    keep_near_duplicates: bool = False,
    strict: bool = False,
    on_progress: OnProgress = lambda _done, _total, _stage: None,
) -> ImportReport:
    """Import a file's examples; the same file again adds nothing. The caller commits.

    Args:
        encoding: of the file; empty: found by its byte-order mark, UTF-8 without one.
        split: gives all new examples this split, instead of one by hash.
        keep_near_duplicates: see `trainer.split.assign`.
        strict: refuse the file when any of its rows is bad.
        on_progress: called with how many rows are done, of how many (None: not known yet), and with what.

    Raises:
        ImportFileError: the file can't be read, none of its rows can, or a bad row is in it and ``strict``.
    """
    began = time.monotonic()
    report = ImportReport()
    examples = unique_examples(_counted(read_examples(path, columns, encoding), on_progress), source, report)
    if report.bad and (strict or not examples):
        line, reason = min(report.bad)
        raise ImportFileError(f"{path}: line {line}: {reason}; nothing was imported")
    if not report.rows:
        raise ImportFileError(f"{path} holds no examples")
    for start in range(0, len(examples), _CHUNK):
        on_progress(start, len(examples), "storing")
        chunk = examples[start : start + _CHUNK]
        labels = sorted({example["label"] for example in chunk})
        documents, reviews = import_examples(session, orjson.dumps(chunk).decode(), labels)
        report.documents += documents
        report.reviews += reviews
    on_progress(len(examples), len(examples), "looking for near-duplicates")
    assigned = assign_new(session, split, keep_near_duplicates)
    report.splits = dict(Counter(each.split for each in assigned))
    report.seconds = round(time.monotonic() - began, 2)
    return report


def _counted(rows: Iterable[Row], on_progress: OnProgress) -> Iterator[Row]:
    for count, row in enumerate(rows, start=1):
        yield row
        if count % _TELL_EVERY == 0:
            on_progress(count, None, "reading")


def unique_examples(rows: Iterable[Row], source: str, report: ImportReport) -> list[dict[str, Any]]:
    """The examples to store, one a text and id; what is wrong with the other rows goes into the report."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        report.rows += 1
        if row.error:
            report.bad.append((row.line, row.error))
            continue
        raw = encode(row.text)
        text, repaired = repair(raw)
        digest = sha256(raw).hexdigest()
        id_ = row.id or digest[:_ID_LENGTH]
        before = found.pop((id_, digest), None)
        if before is not None:
            report.repeated += 1
            report.contradictions += before["label"] != row.label
        found[id_, digest] = {
            "source": source,
            "id": id_,
            "hash": digest,
            "text": text,
            "repaired": repaired,
            "label": row.label,
        }
    return list(found.values())
