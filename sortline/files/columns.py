"""Which columns of a file hold text, label and id: given by a person or found by name, and why."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sortline.errors import ImportFileError

TEXT_NAMES = (
    "text", "sentence", "content", "body", "message", "document", "utterance", "description", "comment", "review",
    "texts",
)  # fmt: skip
LABEL_NAMES = ("label", "category", "class", "intent", "target", "tag", "label text", "label name", "labels")
_NAMES_OF_CODES = ("label text", "label name")
ID_NAMES = ("id", "external id", "document id", "doc id")
SOURCE_NAMES = ("source",)
NO_IDS = "none"  # given if a column named id does not hold ids of documents
NO_LABELS = "none"  # given if no column holds labels, whatever their names
LOOKED_AT = 500  # records, by which it is told whether a column can hold labels
_LEAST_LOOKED_AT, _NEARLY_ALL = 20, 0.95
META_NAMES = ("meta", "metadata")
MOST_COLUMNS = 10_000
MOST_INNER = 100  # fields of objects in a record that are named
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_SEPARATORS = re.compile(r"[\s_.-]+")
_CODE = re.compile(r"[+-]?\d+(?:\.0+)?")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns, or their numbers from 1 if the file has no header; empty: found by name.

    Any column, such as one of two with the same name, can be given by its position: `#4`. Label and id may be `none`.
    """

    text: tuple[str, ...] = ()
    label: str = ""
    id: str = ""
    header: bool = True


@dataclass(frozen=True, slots=True)
class Chosen:
    """The columns that are read, by their keys in a record; None: there is none. ``why`` explains it to people."""

    texts: tuple[str, ...]
    label: str | None
    id: str | None
    source: str | None = None
    meta: str | None = None
    why: Sequence[str] = field(default=())

    @property
    def keys(self) -> list[str]:
        """All columns that are read."""
        single = [each for each in (self.label, self.id, self.source, self.meta) if each is not None]
        return list(dict.fromkeys([*self.texts, *single]))


def folded(name: str) -> str:
    """A column's name regardless of case, width and the separators between its words."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", name).casefold())
    return _SEPARATORS.sub(" ", plain).strip()


def is_known_name(name: str) -> bool:
    """Whether a name is one by which columns are found."""
    return folded(name) in _KNOWN


_KNOWN = frozenset((*TEXT_NAMES, *LABEL_NAMES, *ID_NAMES))


def unique_names(names: Sequence[str]) -> list[str]:
    """A record's keys: the names as written; if a name repeats or is empty, the later column's position and name."""
    check_width(len(names))
    keys: dict[str, None] = {}
    for position, given in enumerate(names, start=1):
        name = given.strip().removeprefix("\ufeff")
        keys[name if name and name not in keys else f"#{position} {name}".strip()] = None
    return list(keys)


def inner_names(record: Mapping[str, Any], levels: int = 2) -> Iterator[str]:
    """Names of the fields of a record's objects, by which a person can give them, such as `data.text`."""
    for key, value in record.items():
        if isinstance(value, Mapping) and levels:
            yield from (f"{key}.{name}" for name in value)
            yield from (f"{key}.{name}" for name in inner_names(value, levels - 1))


def value_of(record: Mapping[str, Any], key: str) -> Any:
    """A record's value under a key, which may name a field of an object in it; None: there is none."""
    if key in record:
        return record[key]
    outer, _, inner = key.partition(".")
    within = record.get(outer) if inner else None
    return value_of(within, inner) if isinstance(within, Mapping) else None


def check_width(columns: int) -> None:
    """Check how many columns, or fields, records have.

    Raises:
        ImportFileError: there are more than any table of texts has.
    """
    if columns > MOST_COLUMNS:
        raise ImportFileError(f"it has more than {MOST_COLUMNS:,} columns, so it is not a file of texts")


def choose(keys: Sequence[str], columns: Columns, samples: Sequence[Mapping[str, object]] = ()) -> Chosen:
    """Which columns to read.

    Args:
        keys: the records' keys, as `unique_names` returns them.
        samples: a few records; they show whether a label column holds codes whose names are in another column.

    Raises:
        ImportFileError: a given column is missing, a needed column's name repeats, or no text column is found.
    """
    why: list[str] = []
    texts = tuple(_named(each, keys) for each in columns.text)
    if not texts:
        found = _found(TEXT_NAMES, keys, "text", samples)
        if found is None:
            raise ImportFileError(f"no column is known to hold the text; give one with --text-column: {listed(keys)}")
        texts = (found,)
        why.append(f"text: {found} (by its name)")
    if columns.label == NO_LABELS and NO_LABELS not in map(folded, keys):
        label = None
    else:
        label = _named(columns.label, keys) if columns.label else _label(keys, samples, why)
    id_ = _id(columns.id, keys)
    if id_ is not None and not columns.id:
        why.append(f"id: {id_} (by its name)")
    twice = sorted({name for _, name in _positions(keys) if name})
    if twice:
        why.append(
            f"more than one column is named {', '.join(twice)}; the first is read unless you give another as #number"
        )
    left = [key for key in keys if key not in (*texts, label, id_)]
    return Chosen(texts, label, id_, _first(SOURCE_NAMES, left), _first(META_NAMES, left), tuple(why))


def hold_no_labels(records: Iterable[Mapping[str, object]]) -> frozenset[str]:
    """Keys of which nearly every record has a value of its own, such as an id or a text: labels repeat.

    Args:
        records: the first `LOOKED_AT` ones; with fewer than 20 values of a key nothing is told of it.
    """
    values: dict[str, list[int]] = defaultdict(list)
    for record in records:
        for key, value in record.items():
            if value not in (None, ""):
                values[key].append(hash(str(value)))
    return frozenset(
        key for key, found in values.items()
        if len(found) >= _LEAST_LOOKED_AT and len(set(found)) > _NEARLY_ALL * len(found)
    )  # fmt: skip


def _id(asked: str, keys: Sequence[str]) -> str | None:
    if asked == NO_IDS and NO_IDS not in map(folded, keys):
        return None
    return _named(asked, keys) if asked else _found(ID_NAMES, keys, "id")


def _label(keys: Sequence[str], samples: Sequence[Mapping[str, object]], why: list[str]) -> str | None:
    names = _first(_NAMES_OF_CODES, keys)
    other = _first([name for name in LABEL_NAMES if name not in _NAMES_OF_CODES], keys)
    if names is not None and other is not None and _are_codes(other, samples):
        why.append(f"label: {names}, because {other} holds its codes; for the codes give --label-column '{other}'")
        return names
    label = _found(LABEL_NAMES, keys, "label", samples)
    if label is not None:
        beside = f"; {names} is not read" if names not in (None, label) else ""
        why.append(f"label: {label} (by its name{beside})")
    return label


def _are_codes(key: str, samples: Sequence[Mapping[str, object]]) -> bool:
    values = [str(record[key]).strip() for record in samples if record.get(key) not in (None, "")]
    return bool(values) and all(_CODE.fullmatch(value) for value in values)


def _named(asked: str, keys: Sequence[str]) -> str:
    if asked in keys:
        found = asked
    elif re.fullmatch(r"#\d+", asked.strip()) and 1 <= int(asked.strip()[1:]) <= len(keys):
        return keys[int(asked.strip()[1:]) - 1]
    else:
        same = [key for key in keys if folded(key) == folded(asked)]
        if not same:
            raise ImportFileError(f"there is no column {asked}; the columns are {listed(keys)}")
        found = same[0]
    _refuse_twice(found, keys)
    return found


def _found(
    candidates: Sequence[str], keys: Sequence[str], what: str, samples: Sequence[Mapping[str, object]] = ()
) -> str | None:
    found = _first(candidates, keys)
    if found is None or what == "id":
        return found
    _refuse_twice(found, keys, what)
    alike = [key for key in keys if key != found and folded(key) == folded(found)]
    if any(found in record and key in record for record in samples for key in alike):
        raise ImportFileError(
            f"several columns are named alike ({listed([found, *alike])}); give one with --{what}-column"
        )
    return found


def _first(candidates: Sequence[str], keys: Sequence[str]) -> str | None:
    by_name = {folded(key): key for key in reversed(keys)}
    return next((by_name[each] for each in candidates if each in by_name), None)


def _positions(keys: Sequence[str]) -> list[tuple[int, str]]:
    """Position and name of the columns whose name an earlier column has."""
    found = []
    for position, key in enumerate(keys, start=1):
        parts = re.match(rf"#{position} (.+)", key)
        if parts:
            found.append((position, parts[1]))
    return found


def _refuse_twice(key: str, keys: Sequence[str], what: str = "") -> None:
    others = [position for position, name in _positions(keys) if folded(name) == folded(key)]
    if others:
        places = ", ".join(f"#{position}" for position in [keys.index(key) + 1, *others])
        option = f" (--{what}-column)" if what else ""
        raise ImportFileError(f"more than one column is named {key} ({places}); give one by its number{option}")


def listed(keys: Collection[str]) -> str:
    """Column names, listed for an error."""
    shown = [key[:60] for key in list(keys)[:20]]
    return ", ".join(shown) + (", ..." if len(keys) > 20 else "")
