"""Imports labelled files: documents, with reviews by the reviewer `import`."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.orm import Session

from db.queries import labels
from db.queries.labelled import import_examples, split_counts
from sortline.document_rows import id_of
from sortline.errors import ImportFileError
from sortline.files.budget import AMPLE, Budget
from sortline.files.encodings import refused_guess
from sortline.files.opening import NOTHING_ASKED, Asked, opened
from sortline.files.rows import Row
from sortline.files.survey import KEPT_REFUSALS, Survey, survey_file
from sortline.queue import MAX_SOURCE_CHARS
from sortline.text import content_hash
from trainer.data.base_texts import base_readability
from trainer.data.repeats import Repeats
from trainer.data.sample import Sample
from trainer.data.split import assign_new
from trainer.data.split_doubts import split_doubts

OnProgress = Callable[[int, int | None, str], None]

DEFAULT_SOURCE = "import"
_CHUNK = 2000
_NO_LABEL = "has no label"


@dataclass
class ImportReport:
    """What an import did.

    ``rows``: in the file; ``none_fits``: those that say that no label fits; ``documents``, ``reviews``: new in the
    database; ``repeated``: rows whose text (and id)
    occur in the file again; ``contradictions``: those of them whose label differs from the last one, which
    counts; ``splits``: of the new documents; ``refused``: rows that were not imported, of which the first 1,000 are in
    ``bad`` as (line, reason); ``unlabelled``: those among them that have no label. ``shape``: what kind of file it is;
    ``notes``: how it was read; ``doubts``: what looks wrong with it.
    """

    rows: int = 0
    none_fits: int = 0
    documents: int = 0
    reviews: int = 0
    repeated: int = 0
    contradictions: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    unlabelled: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)
    shape: str = ""
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)

    def refuse(self, line: int, reason: str) -> None:
        """Count a refused row."""
        self.refused += 1
        if len(self.bad) < KEPT_REFUSALS:
            self.bad.append((line, reason))


def import_file(
    session: Session,
    path: Path,
    asked: Asked = NOTHING_ASKED,
    source: str = "",
    split: str | None = None,
    keep_near_duplicates: bool = False,
    strict: bool = False,
    fold: bool = False,
    base_model: str = "",
    on_progress: OnProgress = lambda _done, _total, _stage: None,
    on_survey: Callable[[Survey], None] = lambda _survey: None,
    budget: Budget = AMPLE,
    none_label: str = "",
) -> ImportReport:
    """Import a file's examples; the same file again adds nothing. The caller commits.

    The file is read twice, once to survey it and once to store it, so memory use stays small for any size.

    Args:
        source: of the documents; empty: what Sortline's own export says, else `import`.
        split: gives all new examples this split, instead of one by hash.
        keep_near_duplicates: see `trainer.data.split.assign`.
        strict: refuse the file when any of its rows is refused.
        fold: read labels that look alike as one.
        base_model: that trainings start from; the report says if it can't read the texts. Empty: not checked.
        on_progress: called with how much is done, of how much (None: not known yet), and with what.
        on_survey: called with what is in the file, before anything is stored.
        budget: limits on reading it.
        none_label: the label by which the file says that no label fits; its rows are stored as that. Empty: none is.

    Raises:
        ImportFileError: the file can't be read, its encoding is only a guess, none of its rows is an example, no row
            has the ``none_label``, a row is refused and ``strict``, or the source is longer than 100 characters.
    """
    began = time.monotonic()
    if len(source) > MAX_SOURCE_CHARS:
        raise ImportFileError(f"the source has {len(source):,} characters; the limit is {MAX_SOURCE_CHARS}")
    with opened(path, asked, on_progress, budget) as reading:
        repeats, sample = Repeats(), Sample()

        def observe(row: Row) -> None:
            repeats.add(row)
            sample.add(row.text)

        known = [label.name for label in labels.listing(session)]
        survey = survey_file(reading, known, fold, observe, none_label)
        survey.doubts += unreadable(sample.texts, base_model)
        _check(path, survey, strict)
        if many := too_many_labels(known, survey):
            raise ImportFileError(f"{path}: {many}")
        on_survey(survey)
        report = ImportReport(shape=reading.shape, notes=reading.why, doubts=survey.doubts)
        _store(session, survey, repeats, source, report)
    compared = partial(_looking, on_progress)
    compared(0, survey.labelled)
    assigned, repeated = assign_new(session, split, keep_near_duplicates, compared)
    report.splits = dict(Counter(each.split for each in assigned))
    report.doubts += [f"{each.said} {each.do}" for each in split_doubts(assigned, split_counts(session))]
    if repeated:
        report.notes.append(repeated.note(len(assigned)))
    report.seconds = round(time.monotonic() - began, 2)
    return report


def _looking(on_progress: OnProgress, done: int, of: int) -> None:
    on_progress(done, of, "looking for near-duplicates")


def unreadable(texts: Sequence[str], base_model: str) -> list[str]:
    """A doubt, if the base model can't read much of the texts."""
    found = base_readability(texts, base_model) if base_model else None
    return [found.sentence()] if found is not None and found.over else []


def _check(path: Path, survey: Survey, strict: bool) -> None:
    """Refuse a file that would bring nothing, or whose encoding nobody has confirmed."""
    if survey.guess:
        raise ImportFileError(refused_guess(path, survey.reading.encoding))
    line, reason = min(survey.refusals, default=(0, ""))
    if not survey.rows:
        raise ImportFileError(f"{path} contains no examples")
    if not survey.labelled and survey.unlabelled:
        raise ImportFileError(unlabelled(path, survey))
    if reason and (strict or not survey.labelled):
        raise ImportFileError(f"{path}: line {line:,}: {reason}; nothing was imported")
    if strict and survey.unlabelled:
        texts = "1 row has" if survey.unlabelled == 1 else f"{survey.unlabelled:,} rows have"
        raise ImportFileError(f"{path}: {texts} no label; nothing was imported")


def too_many_labels(known: Collection[str], survey: Survey) -> str:
    """Why a file brings too many labels; empty if it does not."""
    count = len(survey.labels.keys() | set(known))
    if count <= labels.MOST_LABELS:
        return ""
    return f"with it there would be {count:,} labels, and the limit is {labels.MOST_LABELS:,}: check the label column"


def unlabelled(path: Path, survey: Survey) -> str:
    """The error for a file that contains texts but no labels."""
    reading = survey.reading
    columns = f" (columns: {', '.join(reading.keys[:20])})" if reading.keys else ""
    which = "name their column with --label-column" if reading.keys else "it has no columns"
    texts = "1 text" if survey.unlabelled == 1 else f"{survey.unlabelled:,} texts"
    if reading.has_labels:
        return f"{path} contains {texts}, none with a label{columns}; to classify them, run: sortline enqueue {path}"
    return (
        f"{path} contains {texts}, but no labels were found{columns}: {which}; to classify the texts, run: "
        f"sortline enqueue {path}"
    )


def _store(session: Session, survey: Survey, repeats: Repeats, source: str, report: ImportReport) -> None:
    superseded = repeats.superseded()
    examples = _examples(survey, superseded, source, report)
    own = survey.reading.is_own_export
    while chunk := list(islice(examples, _CHUNK)):
        names = sorted({example["label"] for example in chunk} - {None})
        documents, reviews = import_examples(session, orjson.dumps(chunk).decode(), names, own)
        report.documents += documents
        report.reviews += reviews


def _examples(
    survey: Survey, superseded: frozenset[int], source: str, report: ImportReport
) -> Iterator[dict[str, Any]]:
    """What is stored of a file's rows; the others are counted."""
    replaced: dict[tuple[str, str], set[str]] = {}
    for row in map(survey.settle, survey.reading.rows("storing")):
        report.rows += 1
        if row.error:
            report.refuse(row.line, row.error)
        elif not row.decided:
            report.unlabelled += 1
            report.refuse(row.line, _NO_LABEL)
        elif row.line in superseded:
            report.repeated += 1
            replaced.setdefault((row.id, row.text), set()).add(row.label)
        else:
            if replaced and (labels_before := replaced.pop((row.id, row.text), None)):
                report.contradictions += len(labels_before - {row.label})
            report.none_fits += row.none_fits
            yield example(row, source)


def example(row: Row, source: str) -> dict[str, Any]:
    """A row as it is stored; its label is None if it says that none fits."""
    return {
        "source": source or row.source or DEFAULT_SOURCE, "id": id_of(row), "hash": content_hash(row.text.encode()),
        "text": row.text, "repaired": False, "label": None if row.none_fits else row.label,
    }  # fmt: skip
