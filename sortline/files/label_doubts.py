"""What looks wrong with a file's labels, reported before anything is stored.

Doubts are guesses shown to the user; they change nothing.
"""

import re
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sortline.files.label_cells import has_markup, parts_by_cell
from sortline.files.label_folds import NUMBER, WHOLE, alike, fold_labels, whole_again, winner
from sortline.files.label_keys import mixes_scripts, plain_key
from sortline.files.misread import lost_letters, misread_signs
from sortline.files.missing_labels import is_missing, missing_labels

__all__ = ["LabelDoubt", "Seen", "fold_labels", "label_doubts"]

Kind = Literal[
    "look-alike", "several", "markup", "missing", "unsure", "damaged", "mixed-scripts", "long", "like-texts", "numbers",
    "dates", "once", "only-one",
]  # fmt: skip

_SHOWN = 5  # names in a sentence
_MANY = 20  # different labels; with as many, the column may hold texts
_MOST_COMPARED = 20_000  # different labels; a column with more does not hold labels
_LONG = 80  # characters
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DATE = re.compile(
    rf"\d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?|\d{{1,2}}([/.])\d{{1,2}}\1\d{{2,4}}|\d{{1,2}}-{_MONTH}|{_MONTH}-\d\d",
    re.IGNORECASE,
)


class Seen(NamedTuple):
    """A label in doubt: how many examples of the file have it, and whether the database has it already."""

    name: str
    examples: int
    known: bool = False


@dataclass(frozen=True, slots=True)
class LabelDoubt:
    """One thing that looks wrong: ``seen`` says what, ``advice`` what to do; ``labels`` are all those affected."""

    kind: Kind
    labels: tuple[Seen, ...]
    seen: str
    advice: str

    @property
    def message(self) -> str:
        """One sentence for people: what was found, and what to do."""
        return f"{self.seen}: {self.advice}"


def label_doubts(counts: Mapping[str, int], known: Collection[str] = ()) -> list[LabelDoubt]:
    """What looks wrong with a file's labels, most serious first.

    Args:
        counts: the number of examples of each label, by its cleaned name.
        known: labels in the database.
    """
    known = frozenset(known)
    if len(counts) > _MOST_COMPARED:
        return list(_like_texts(counts, known))
    several = parts_by_cell(counts, known)
    missing = missing_labels(counts)
    alone = {name: count for name, count in counts.items() if name not in several and not is_missing(name)}
    groups = [group for group in alike(alone, known) if any(name in counts for name in group)]
    return [
        *_several(counts, several),
        *_markup(counts),
        *_same_numbers(groups, alone, counts, known),
        *(_look_alike(group, counts, known) for group in groups if not all(map(WHOLE.fullmatch, group))),
        *_missing(counts, missing, known),
        *_damaged(counts, known),
        *_mixed_scripts(counts, known),
        *_unsure(counts, known),
        *_dates(counts, known),
        *_like_texts(counts, known),
        *_numbers(counts, known),
        *_once(counts, known, several, missing),
        *_only_one(counts, known),
    ]


def _same_numbers(
    groups: Sequence[Sequence[str]], alone: Mapping[str, int], counts: Mapping[str, int], known: frozenset[str]
) -> Iterator[LabelDoubt]:
    """Numbers in two forms (1, 1.0), and whole numbers that became decimal ones."""
    twice = [name for group in groups if all(map(WHOLE.fullmatch, group)) for name in group]
    grouped = {name for group in groups for name in group}
    decimal = [name for name in whole_again(alone, known) if name not in grouped]
    seen = _seen(sorted([*twice, *decimal], key=lambda name: (float(name), len(name))), counts, known)
    if seen:
        words = "are the same numbers in two forms" if twice else "are whole numbers, written with a decimal point"
        advice = "fold them with --fold-labels (1.0 becomes 1); programs write .0 if a column has empty cells"
        yield LabelDoubt("look-alike", seen, f"{_named(seen)} {words}", advice)


def _look_alike(group: Sequence[str], counts: Mapping[str, int], known: frozenset[str]) -> LabelDoubt:
    target = winner(group, counts, known)
    seen = _seen(sorted(group, key=lambda name: (name != target, -counts.get(name, 0), name)), counts, known)
    words = f"{_named(seen)} look like one label but count as {_number(len(seen))}"
    stays = [each.name for each in seen if each.known]
    if len(stays) > 1 and all(each.known for each in seen):
        advice = "if they are the same, merge them on the labels page"
    else:
        advice = f'if they are the same, fold them into "{target}" with --fold-labels'
    return LabelDoubt("look-alike", seen, words, advice)


def _several(counts: Mapping[str, int], several: Mapping[str, Sequence[str]]) -> Iterator[LabelDoubt]:
    if several:
        seen = _seen(_by_count(several, counts), counts)
        first = several[seen[0].name]
        parts = " and ".join(f'"{part}"' for part in first[:3]) + (" and more" if len(first) > 3 else "")
        yield LabelDoubt(
            "several",
            seen,
            f"{_named(seen)} {'seems' if len(seen) == 1 else 'seem'} to hold several labels (the first one: {parts})",
            "Sortline gives a document one label; remove these rows, or give each one label",
        )


def _markup(counts: Mapping[str, int]) -> Iterator[LabelDoubt]:
    seen = _seen(_by_count((name for name in counts if has_markup(name)), counts), counts)
    if seen:
        yield LabelDoubt(
            "markup",
            seen,
            f"{_named(seen)} {'is' if len(seen) == 1 else 'are'} written the way programs write labels, not the way "
            "people read them",
            "import the tool's own export unchanged, or extract the plain names first",
        )


def _missing(counts: Mapping[str, int], names: Sequence[str], known: frozenset[str]) -> Iterator[LabelDoubt]:
    seen = _seen(_by_count((name for name in names if name not in known), counts), counts)
    if seen:
        yield LabelDoubt(
            "missing",
            seen,
            f"{_named(seen)} often {'means' if len(seen) == 1 else 'mean'} that nobody gave a label",
            "if so, clear these cells; otherwise the model learns this as a label",
        )


def _damaged(counts: Mapping[str, int], known: frozenset[str]) -> Iterator[LabelDoubt]:
    seen = _seen(_by_count((name for name in counts if _is_damaged(name)), counts), counts, known)
    if seen:
        yield LabelDoubt(
            "damaged",
            seen,
            f"{_named(seen)} {'was' if len(seen) == 1 else 'were'} damaged by a wrong encoding when the file was made",
            "export the file again from its source, or correct these names",
        )


def _is_damaged(name: str) -> bool:
    if "\N{REPLACEMENT CHARACTER}" in name:
        return True
    if misread_signs(name) or lost_letters(name):
        return True
    try:
        return not name.isascii() and name.encode("cp1252").decode() != name
    except UnicodeError:
        return False


def _mixed_scripts(counts: Mapping[str, int], known: frozenset[str]) -> Iterator[LabelDoubt]:
    seen = _seen(_by_count((name for name in counts if mixes_scripts(name)), counts), counts, known)
    if seen:
        yield LabelDoubt(
            "mixed-scripts",
            seen,
            f"{_named(seen)} {'mixes' if len(seen) == 1 else 'mix'} Latin and Cyrillic letters in one word",
            "they look the same but differ, so nobody will find the label by typing; write the word in one script",
        )


def _unsure(counts: Mapping[str, int], known: frozenset[str]) -> Iterator[LabelDoubt]:
    there = {plain_key(name) for name in (*counts, *known)}
    unsure = (
        name
        for name in counts
        if name.endswith(("?", "？")) and not is_missing(name) and plain_key(name.rstrip(" ?？") or "?") in there
    )
    seen = _seen(_by_count(unsure, counts), counts)
    if seen:
        yield LabelDoubt(
            "unsure",
            seen,
            f"{_named(seen)} {'ends' if len(seen) == 1 else 'end'} with a question mark, as people write when they are "
            "not sure",
            "decide on a label, or clear these cells so that somebody decides at the desk",
        )


def _dates(counts: Mapping[str, int], known: frozenset[str]) -> Iterator[LabelDoubt]:
    seen = _seen(_by_count((name for name in counts if _DATE.fullmatch(name) and name not in known), counts), counts)
    if seen:
        yield LabelDoubt(
            "dates",
            seen,
            f"{_named(seen)} {'is a date' if len(seen) == 1 else 'are dates'}",
            "spreadsheets turn labels such as 1-2 or MAR1 into dates; if that happened, export the column again as "
            "text; if not, check that this is the label column (--label-column)",
        )


def _like_texts(counts: Mapping[str, int], known: frozenset[str]) -> Iterator[LabelDoubt]:
    total = sum(counts.values())
    new = [name for name in counts if name not in known]
    if len(new) >= _MANY and 2 * len(counts) > total:
        first = _seen(new[:_SHOWN], counts)
        yield LabelDoubt(
            "like-texts",
            first,
            f"there are {len(counts):,} different labels for {total:,} examples, such as {_named(first)}",
            "if this is not the label column, choose another with --label-column; if it is, import more examples",
        )
        return
    long = [name for name in new if len(name) > _LONG]
    if long:
        seen = _seen(_by_count(long, counts), counts)
        typical = "" if statistics.median(map(len, counts)) <= _LONG else ", and so are most labels of the file"
        yield LabelDoubt(
            "long",
            seen,
            f"{_named(seen)} {'is' if len(seen) == 1 else 'are'} as long as a text{typical}",
            "check that this is the label column (--label-column)",
        )


def _numbers(counts: Mapping[str, int], known: frozenset[str]) -> Iterator[LabelDoubt]:
    there = {plain_key(name) for name in known}
    if len(counts) > 1 and all(NUMBER.fullmatch(name) and plain_key(name) not in there for name in counts):
        seen = _seen(sorted(counts, key=float), counts, known)
        whole = all(WHOLE.fullmatch(name) for name in counts)
        yield LabelDoubt(
            "numbers",
            seen,
            f"all labels are numbers: {_named(seen)}",
            "if another column has their names, choose it with --label-column, because people decide by name"
            if whole
            else "measurements are not labels; choose another column with --label-column, or turn them into ranges",
        )


def _once(
    counts: Mapping[str, int], known: frozenset[str], several: Mapping[str, Sequence[str]], missing: Sequence[str]
) -> Iterator[LabelDoubt]:
    left = {*known, *several, *missing}
    once = [name for name, count in counts.items() if count == 1 and name not in left]
    if once and not (len(once) >= _MANY and 2 * len(counts) > sum(counts.values())):  # reported as texts
        seen = _seen(sorted(once), counts)
        yield LabelDoubt(
            "once",
            seen,
            f"{_named(seen)} {'has one example' if len(seen) == 1 else 'have one example each'}",
            "a label with one example can't be both learned and tested; check its spelling, or import more examples",
        )


def _only_one(counts: Mapping[str, int], known: frozenset[str]) -> Iterator[LabelDoubt]:
    if len(counts) == 1 and sum(counts.values()) > 1 and not known.difference(counts):
        seen = _seen(counts, counts, known)
        yield LabelDoubt(
            "only-one",
            seen,
            f"every example has the label {_named(seen)}",
            "a model needs examples of at least two labels; import others, or choose another column",
        )


def _seen(names: Iterable[str], counts: Mapping[str, int], known: frozenset[str] = frozenset()) -> tuple[Seen, ...]:
    return tuple(Seen(name, counts.get(name, 0), name in known) for name in names)


def _by_count(names: Iterable[str], counts: Mapping[str, int]) -> list[str]:
    return sorted(names, key=lambda name: (-counts[name], name))


def _named(seen: Sequence[Seen]) -> str:
    """The first names with their counts: "a" (3), "b" (1) and 12 more."""
    said = [f'"{_cut(each.name)}" ({_examples(each)})' for each in seen[:_SHOWN]]
    more = len(seen) - len(said)
    if more > 0:
        return f"{', '.join(said)} and {more:,} more"
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"


def _examples(each: Seen) -> str:
    if not each.examples:
        return "in the database"
    return f"{each.examples:,}, in the database too" if each.known else f"{each.examples:,}"


def _cut(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:59]}…"


def _number(count: int) -> str:
    return {2: "two", 3: "three", 4: "four", 5: "five"}.get(count, f"{count:,}")
