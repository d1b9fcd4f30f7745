"""What an import would do, before it is done: columns, first rows, labels, bad rows. Nothing is written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from sqlalchemy.orm import Session

from db.queries import labels
from db.queries.labelled import count_known
from sortline.errors import ImportFileError
from trainer.columns import find_columns
from trainer.import_file import ImportReport, unique_examples
from trainer.near_duplicates import near_duplicate_groups
from trainer.readers import Columns, read_examples, read_names

_FIRST = 5
_CHARS = 300
_MOST_COMPARED = 5_000  # texts that are held against each other while somebody waits


@dataclass(frozen=True, slots=True)
class PreviewLabel:
    """A label of the file: ``state`` is new, in use, archived or merged, and then ``into`` the other label's name."""

    name: str
    count: int
    state: str
    into: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What is in a file, as it would be imported.

    ``names``: of all columns; ``text``, ``label``, ``id``: the chosen ones, empty where none is; ``wrong``: why it
    can't be imported like this, then only ``names`` are filled. ``first``: texts (their beginnings) and labels;
    ``examples`` differ, ``known`` of them are stored already; ``near_duplicates``: how many nearly repeat another one
    of the file, None where there are too many to compare. ``report`` has rows, repeated ones and bad ones.
    """

    names: Sequence[str]
    wrong: str = ""
    text: str = ""
    label: str = ""
    id: str = ""
    first: Sequence[tuple[str, str]] = ()
    labels: Sequence[PreviewLabel] = ()
    examples: int = 0
    known: int = 0
    near_duplicates: int | None = None
    report: ImportReport | None = None


def preview(session: Session, path: Path, columns: Columns, source: str = "import", encoding: str = "") -> Preview:
    """Read a file as `import_file` would.

    Raises:
        ImportFileError: the file or its encoding can't be read.
    """
    names = read_names(path, encoding, columns.header)
    if not names:
        raise ImportFileError(f"{path} holds no rows")
    try:
        places = find_columns(names, columns, path)
    except ImportFileError:
        return Preview(names, "Which column holds the text, and which the label?")
    report = ImportReport()
    examples = unique_examples(read_examples(path, columns, encoding), source, report)
    texts = [example["text"] for example in examples]
    near = None
    if len(texts) <= _MOST_COMPARED:
        near = len(texts) - len(set(near_duplicate_groups(texts).tolist()))
    rows = [{name: example[name] for name in ("source", "id", "hash")} for example in examples]
    return Preview(
        names,
        text=names[places.texts[0]],
        label=names[places.label],
        id="" if places.id is None else names[places.id],
        first=[(example["text"][:_CHARS], example["label"]) for example in examples[:_FIRST]],
        labels=_labels(session, Counter(example["label"] for example in examples)),
        examples=len(examples),
        known=count_known(session, orjson.dumps(rows).decode()),
        near_duplicates=near,
        report=report,
    )


def _labels(session: Session, counts: Counter[str]) -> list[PreviewLabel]:
    known = {label.name: label for label in labels.listing(session)}
    names = {label.id: label.name for label in known.values()}
    found = []
    for name, count in counts.most_common():
        label = known.get(name)
        if label is None:
            found.append(PreviewLabel(name, count, "new"))
        elif label.merged_into_id is not None:
            found.append(PreviewLabel(name, count, "merged", names[label.merged_into_id]))
        else:
            found.append(PreviewLabel(name, count, "archived" if label.archived_at else "in use"))
    return found
