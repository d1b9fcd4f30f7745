"""What an import would do: how a file is read, its labels, doubts, refusals. Nothing is written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from sqlalchemy.orm import Session

from db.queries import labels
from db.queries.labelled import count_known
from sortline.errors import ImportFileError
from sortline.files.budget import AMPLE, Budget
from sortline.files.opening import NOTHING_ASKED, Asked, opened
from sortline.files.rows import Row
from sortline.files.survey import Survey, survey_file
from sortline.text import content_hash
from trainer.data.import_file import OnProgress, example, too_many_labels, unreadable
from trainer.data.near_duplicates import NearDuplicates
from trainer.data.repeats import Repeats
from trainer.data.sample import Sample
from trainer.data.split_doubts import foretold_doubts

_NONE_FITS = "none fits"
_CHARS = 300
_CHUNK = 2_000
_MOST_COMPARED = 5_000  # texts that are compared with each other while somebody waits


@dataclass(frozen=True, slots=True)
class PreviewLabel:
    """A label of the file: ``state`` is new, in use, archived or merged, and then ``into`` the other label's name.

    Or the one that says that no label fits, with the state "none fits".
    """

    name: str
    count: int
    state: str
    into: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What is in a file, as it would be imported.

    ``shape``: what kind of file it is; ``names``: of all columns; ``text``, ``label``, ``id``: the chosen ones, empty
    if there is none; ``wrong``: why it can't be imported like this, then nothing after it is filled. ``guess``: the
    encoding that was guessed, with ``samples`` of how the file reads by it. ``first``: texts (their beginnings) and
    labels; ``examples`` differ, ``repeated`` repeat one of them, ``known`` of them are stored already;
    ``none_fits`` of them say that no label fits; ``unlabelled`` have no label; ``refused`` rows are left out, of which
    ``bad`` holds the first as (line, reason). ``hold_no_labels``: columns of which nearly all values differ.
    ``near_duplicates``: how many nearly repeat another one of the file, None if there are too many to compare.
    """

    shape: str
    names: Sequence[str]
    wrong: str = ""
    text: str = ""
    label: str = ""
    id: str = ""
    why: Sequence[str] = ()
    guess: str = ""
    samples: Sequence[str] = ()
    rows: int = 0
    examples: int = 0
    unlabelled: int = 0
    refused: int = 0
    bad: Sequence[tuple[int, str]] = ()
    first: Sequence[tuple[str, str]] = ()
    labels: Sequence[PreviewLabel] = ()
    doubts: Sequence[str] = ()
    repeated: int = 0
    known: int | None = None
    near_duplicates: int | None = None
    has_labels: bool = False
    hold_no_labels: Sequence[str] = ()
    none_fits: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


class _Compared(NamedTuple):
    """How many distinct texts nearly repeat another one, with the notes and doubts about that."""

    near: int
    notes: list[str]
    doubts: list[str]


@dataclass
class _Watched:
    """What is noted while a file is read: which rows repeat, which are stored, which nearly repeat another."""

    session: Session | None
    source: str
    repeats: Repeats = field(default_factory=Repeats)
    sample: Sample = field(default_factory=Sample)
    texts: dict[bytes, str] | None = field(default_factory=dict)  # those that have a label, by the hash of their text
    waiting: list[dict[str, str]] = field(default_factory=list)
    known: int = 0

    def __call__(self, row: Row) -> None:
        self.repeats.add(row)
        self.sample.add(row.text)
        if self.texts is not None and row.decided:
            self.texts[bytes.fromhex(content_hash(row.text.encode()))] = row.text
            if len(self.texts) > _MOST_COMPARED:
                self.texts = None
        if self.session is not None and row.decided:
            whole = example(row, self.source)
            self.waiting.append({name: whole[name] for name in ("source", "id", "hash")})
            if len(self.waiting) == _CHUNK:
                self.ask()

    def compared(self) -> _Compared | None:
        """The comparison of the texts with each other; None: there are too many."""
        if self.texts is None:
            return None
        texts, hashes = list(self.texts.values()), list(self.texts)
        alike = NearDuplicates(texts)
        groups, repeated = alike.groups(), alike.repeated()
        notes = [repeated.note(len(texts))] if repeated else []
        doubts = [f"{each.said} {each.do}" for each in foretold_doubts(texts, hashes, groups)]
        return _Compared(len(texts) - len(set(groups.tolist())), notes, doubts)

    def ask(self) -> None:
        if self.session is not None and self.waiting:
            self.known += count_known(self.session, orjson.dumps(self.waiting).decode())
            self.waiting.clear()


def preview(
    session: Session | None,
    path: Path,
    asked: Asked = NOTHING_ASKED,
    source: str = "",
    fold: bool = False,
    base_model: str = "",
    on_progress: OnProgress = lambda _done, _total, _stage: None,
    budget: Budget = AMPLE,
    none_label: str = "",
) -> Preview:
    """Read a file as `import_file` would.

    Args:
        session: None: the database is not asked.
        base_model: that trainings start from; the doubts say if it can't read the texts. Empty: not checked.
        budget: limits on reading it.
        none_label: the label by which the file says that no label fits; empty: none is.

    Raises:
        ImportFileError: the file can't be read.
    """
    with opened(path, asked, on_progress, budget) as reading:
        if reading.wrong:
            held = sorted(reading.hold_no_labels)
            return Preview(reading.shape, reading.keys, wrong=reading.wrong, hold_no_labels=held)
        there = {} if session is None else {label.name: label for label in labels.listing(session)}
        watched = _Watched(session, source)
        survey = survey_file(reading, there, fold, watched, none_label)
        watched.ask()
        survey.doubts += filter(None, [too_many_labels(there, survey)])
        survey.doubts += unreadable(watched.sample.texts, base_model)
        near = watched.compared()
        if near:
            survey.doubts += near.doubts
    if not survey.rows:
        raise ImportFileError(f"{path} contains no rows")
    return _preview_of(survey, watched, near)


def _preview_of(survey: Survey, watched: _Watched, near: _Compared | None) -> Preview:
    reading, chosen = survey.reading, survey.reading.chosen
    return Preview(
        reading.shape,
        reading.keys,
        text=chosen.texts[0] if chosen else "",
        label=(chosen.label or "") if chosen else "",
        id=(chosen.id or "") if chosen else "",
        why=[*reading.why, *(near.notes if near else ())],
        guess=reading.encoding.name if survey.guess else "",
        samples=reading.encoding.samples if survey.guess else (),
        rows=survey.rows,
        examples=survey.labelled,
        unlabelled=survey.unlabelled,
        refused=survey.refused,
        bad=survey.refusals,
        first=[(row.text[:_CHARS], row.label or _NONE_FITS * row.none_fits) for row in survey.first],
        labels=_labels(watched.session, survey),
        doubts=survey.doubts,
        repeated=len(watched.repeats.superseded()),
        known=None if watched.session is None else watched.known,
        near_duplicates=None if near is None else near.near,
        has_labels=reading.has_labels,
        hold_no_labels=sorted(reading.hold_no_labels),
        none_fits=survey.none_fits,
    )


def _labels(session: Session | None, survey: Survey) -> list[PreviewLabel]:
    known = {} if session is None else {label.name: label for label in labels.listing(session)}
    names = {label.id: label.name for label in known.values()}
    none = survey.none_label
    found = [PreviewLabel(none, survey.none_fits, _NONE_FITS)] if none else []
    for name, count in Counter(survey.labels).most_common():
        label = known.get(name)
        if label is None:
            found.append(PreviewLabel(name, count, "new"))
        elif label.merged_into_id is not None:
            found.append(PreviewLabel(name, count, "merged", names[label.merged_into_id]))
        else:
            found.append(PreviewLabel(name, count, "archived" if label.archived_at else "in use"))
    return found
