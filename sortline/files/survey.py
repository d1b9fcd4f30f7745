"""What a whole file holds, found by reading it once before anything is stored."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from itertools import islice

from sortline.errors import ImportFileError, InvalidInputError
from sortline.files.id_doubts import IdDoubts
from sortline.files.label_cells import parts_by_cell
from sortline.files.label_doubts import fold_labels, label_doubts
from sortline.files.label_folds import WHOLE, whole_again
from sortline.files.label_keys import plain_key
from sortline.files.labelling_tools import Agreement, Labelled, LeftOut
from sortline.files.reading import Reading
from sortline.files.rows import Row
from sortline.files.text_doubts import TextDoubts
from sortline.label_names import clean_label_name

KEPT_REFUSALS = 1_000
_FIRST = 5


@dataclass
class Survey:
    """What a file holds.

    ``rows``: all rows; ``labelled`` and ``unlabelled``: those that can be read, with and without a decision, which is
    a label or, in ``none_fits`` of them, that none fits; ``none_label``: the name by which a label says so;
    ``refused``: the others, of which the first 1,000 are in ``refusals`` as (line, reason). ``labels``: how many
    examples each has. ``doubts``: sentences on what looks wrong though it can be read. ``folded``: labels that are
    read as another; ``several``: cells that hold several labels, whose rows are refused.
    """

    reading: Reading
    rows: int = 0
    none_label: str = ""
    labelled: int = 0
    none_fits: int = 0
    unlabelled: int = 0
    refused: int = 0
    refusals: list[tuple[int, str]] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    first: list[Row] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    folded: dict[str, str] = field(default_factory=dict)
    several: dict[str, tuple[str, ...]] = field(default_factory=dict)
    agreement: Agreement = field(default_factory=Agreement)

    @property
    def guess(self) -> bool:
        """Whether the encoding is a guess that somebody has to confirm before anything is stored."""
        return self.reading.encoding.guess

    def settle(self, row: Row) -> Row:
        """A row once the whole file is known: with its label folded, or refused because of other rows."""
        if row.error or not row.label:
            return row
        if row.label == self.none_label:
            return replace(row, label="", none_fits=True)
        checked = self.agreement.check(Labelled(row.text, row.label, row.id))
        if isinstance(checked, LeftOut):
            return Row(row.line, error=checked.reason)
        if row.label in self.several:
            parts = ", ".join(self.several[row.label][:5])
            return Row(row.line, error=f'"{row.label}" holds several labels ({parts}); give one')
        folded = self.folded.get(row.label)
        if folded is not None and folded == self.none_label:
            return replace(row, label="", none_fits=True)
        return row if folded is None else replace(row, label=folded)


def survey_file(
    reading: Reading,
    known: Collection[str] = (),
    fold: bool = False,
    observe: Callable[[Row], None] = lambda _row: None,
    none_label: str = "",
) -> Survey:
    """Read a file once and report what it holds.

    Args:
        known: labels in the database.
        fold: treat labels that look alike as one.
        observe: is called with each readable row before it is settled.
        none_label: the label by which a row says that no label fits; empty: none does.

    Raises:
        ImportFileError: the file can't be read to its end, or no row has the label that says that none fits.
    """
    survey, ids, texts = Survey(reading, none_label=_name(none_label)), IdDoubts(), TextDoubts()
    for row in reading.rows("reading it"):
        survey.rows += 1
        if row.error:
            _refuse(survey, row)
            continue
        observe(row)
        ids.add(row.id, row.text)
        texts.add(row.text)
        if row.none_fits or (row.label and row.label == survey.none_label):
            survey.none_fits += 1
        elif row.label:
            survey.labels[row.label] += 1
            if reading.tool is not None:
                survey.agreement.add(Labelled(row.text, row.label, row.id))
        else:
            survey.unlabelled += 1
        if len(survey.first) < _FIRST and (row.decided or not reading.has_labels):
            survey.first.append(row)
    if survey.none_label and not survey.none_fits:
        raise ImportFileError(_no_such_label(survey))
    _settle_labels(survey, known, fold)
    survey.doubts += [doubt.message for doubt in ids.doubts()]
    survey.doubts += texts.messages()
    survey.doubts += _name_doubts(reading)
    return survey


def _refuse(survey: Survey, row: Row) -> None:
    survey.refused += 1
    if len(survey.refusals) < KEPT_REFUSALS:
        survey.refusals.append((row.line, row.error))


def _settle_labels(survey: Survey, known: Collection[str], fold: bool) -> None:
    """Decide which labels are read as others and which cells hold several labels, and count again."""
    counts = survey.labels
    survey.several = parts_by_cell(counts, known) if len(counts) <= _MOST_LABELS else {}
    alone = {name: count for name, count in counts.items() if name not in survey.several}
    if fold:
        survey.folded = fold_labels(counts, known)
    elif all(WHOLE.fullmatch(name) for name in alone):
        # A column of whole numbers that a program turned into decimal ones because a cell was empty.
        survey.folded = whole_again(alone, frozenset(known))
    _settle_none(survey, fold)
    counted = _folded(counts, survey.folded)
    counted.pop(survey.none_label, None)
    survey.doubts += [doubt.message for doubt in label_doubts(counted, known)]
    if survey.folded:
        shown = ", ".join(f"{name} as {other}" for name, other in islice(survey.folded.items(), 5))
        more = len(survey.folded) - 5
        survey.reading.notes.append(f"labels read as another: {shown}{f' and {more:,} more' if more > 0 else ''}")
    if survey.several or survey.agreement.disagrees or survey.none_label in survey.folded.values():
        _count_again(survey)
    else:
        survey.labels = _folded(counts, survey.folded)
        survey.labelled = survey.labels.total() + survey.none_fits


def _settle_none(survey: Survey, fold: bool) -> None:
    """Fold labels that look like the one that means that none fits, or point them out."""
    none = survey.none_label
    alike = [name for name in survey.labels if plain_key(name) == plain_key(none)] if none else []
    if fold:
        survey.folded |= dict.fromkeys(alike, none)
    elif alike:
        shown = ", ".join(f'"{name}" ({survey.labels[name]:,})' for name in alike[:5])
        survey.doubts.append(
            f'{shown} {"looks" if len(alike) == 1 else "look"} like "{none}", which means that no label fits, but '
            f"{'counts as a label' if len(alike) == 1 else 'count as labels'}: if the meaning is the same, fold with "
            "--fold-labels"
        )


_MOST_LABELS = 20_000


def _no_such_label(survey: Survey) -> str:
    """The error for a file in which nothing has the label that is to say that none fits."""
    near = [name for name in survey.labels if plain_key(name) == plain_key(survey.none_label)]
    meant = f"; did you mean {' or '.join(near[:3])}?" if near else ""
    return f"no row has the label {survey.none_label!r}, which is to say that no label fits{meant}"


def _name(none_label: str) -> str:
    """The name as the labels of a file are read.

    Raises:
        ImportFileError: no label can have this name.
    """
    try:
        return clean_label_name(none_label) if none_label.strip() else ""
    except InvalidInputError as error:
        raise ImportFileError(str(error)) from None


def _folded(counts: Counter[str], folded: dict[str, str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, count in counts.items():
        found[folded.get(name, name)] += count
    return found


def _count_again(survey: Survey) -> None:
    """Read the file once more and refuse rows because of other rows."""
    survey.labels, survey.labelled, survey.unlabelled, survey.refused = Counter(), 0, 0, 0
    survey.none_fits = 0
    survey.refusals, survey.first = [], []
    for row in map(survey.settle, survey.reading.rows("reading it again")):
        if row.error:
            _refuse(survey, row)
            continue
        survey.labels[row.label] += bool(row.label)
        survey.none_fits += row.none_fits
        survey.labelled += row.decided
        survey.unlabelled += not row.decided
        if len(survey.first) < _FIRST and row.decided:
            survey.first.append(row)
    survey.labels = +survey.labels


def _name_doubts(reading: Reading) -> list[str]:
    """Whether a file without known column names may have no header at all."""
    if reading.header and reading.kind in ("delimited", "workbook") and reading.keys:
        longest = max(reading.keys, key=len)
        if len(longest) > _LONG_NAME:
            return [
                f"the first row is taken for column names (“{longest[:60]}…”); if it is an example, give --no-header"
            ]
    return []


_LONG_NAME = 60  # characters
