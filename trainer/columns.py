"""Which columns of a file hold text, label and id, and what a row must be to be an example."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sortline.errors import ImportFileError

_TEXT_NAMES = ("text", "sentence", "content", "body", "message", "document", "utterance", "description")
_LABEL_NAMES = ("label", "category", "class", "intent", "target", "tag", "label_text")
_ID_NAMES = ("id", "external_id", "document_id")
_LONGEST_NAME = 200  # of a label or an id, in characters
LONGEST_TEXT = 2**20  # bytes, as for documents on the queue


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns, or their numbers from 1 where the file has no header; empty: found by name."""

    text: tuple[str, ...] = ()
    label: str = ""
    id: str = ""
    header: bool = True


class Places(NamedTuple):
    """Positions of the columns, from 0."""

    texts: list[int]
    label: int
    id: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the file: an example, or why it is none. ``line`` counts from 1, and is where it begins."""

    line: int
    text: str = ""
    label: str = ""
    id: str = ""
    error: str = ""


def find_columns(names: Sequence[str], columns: Columns, path: Path) -> Places:
    """Where the columns are among ``names``.

    Raises:
        ImportFileError: one is not there, or none can be found.
    """
    lower = [name.strip().lower() for name in names]

    def named(name: str) -> int:
        if name.strip().lower() not in lower:
            raise ImportFileError(f"{path} has no column {name}; it has {_listed(names)}")
        return lower.index(name.strip().lower())

    def found(candidates: Sequence[str], option: str) -> int:
        for candidate in candidates:
            if candidate in lower:
                return lower.index(candidate)
        raise ImportFileError(f"{path}: name the column with --{option}-column; it has {_listed(names)}")

    texts = [named(name) for name in columns.text] or [found(_TEXT_NAMES, "text")]
    label = named(columns.label) if columns.label else found(_LABEL_NAMES, "label")
    if columns.id:
        return Places(texts, label, named(columns.id))
    ids = [lower.index(name) for name in _ID_NAMES if name in lower]
    return Places(texts, label, ids[0] if ids else None)


def make_row(line: int, texts: Sequence[str], label: str, id_: str) -> Row:
    """An example of a row's values, or the reason why it is none."""
    text, label, id_ = "\n".join(texts), unicodedata.normalize("NFC", label).strip(), id_.strip()
    size = len(text.encode("utf-8", "surrogatepass"))
    if not text.strip():
        return Row(line, error="the text is empty")
    if size > LONGEST_TEXT:
        return Row(line, error=f"the text has {size:,} bytes, the limit is {LONGEST_TEXT:,}")
    if not label:
        return Row(line, error="the label is empty")
    for what, value in (("label", label), ("id", id_)):
        if len(value) > _LONGEST_NAME:
            return Row(line, error=f"the {what} has {len(value):,} characters, the limit is {_LONGEST_NAME}")
        if value and not value.isprintable():  # lone surrogates and control characters
            return Row(line, error=f"the {what} holds characters that can't be printed")
    return Row(line, text, label, id_)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
