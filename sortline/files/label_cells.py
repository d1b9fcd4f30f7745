"""Cells of a label column that hold more than a label's name: several labels, or a program's markup around it."""

import ast
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable

from sortline.files.label_keys import plain_key
from sortline.files.missing_labels import is_missing

_FASTTEXT = re.compile(r"__[^\W_]+__(?=\S)")
# A character reference of HTML, escapes of JSON, addresses and mail, and bytes as Python prints them.
_ESCAPED = re.compile(
    r"&(?:[A-Za-z]{2,8}|#\d{2,6}|#x[0-9A-Fa-f]{2,5});|\\u[0-9A-Fa-f]{4}|%[0-9A-F]{2}(?!\d)|(?:=[0-9A-F]{2}){2}"
    r"|^b(?:'.*'|\".*\")$|^</?[a-z]+[^<>]*>.*>$"
)
_OPENING = frozenset("[{(_")  # with which markup begins
_LONGEST = 1_000  # characters of a list that Python printed
_SPACED_QUOTES = re.compile(r"['\"]\s+['\"]")  # Python would read 'a' 'b' as 'ab'
# Separators of labels. For strong and weak ones every part must occur in at least two cells or be a label by itself;
# for weak ones at least one part, and for the weakest every part, must be a label by itself.
_STRONG, _WEAK, _WEAKEST = (";", "|", "\t"), (",", "#", "、", "，"), ("/", " & ", " + ", " and ")


def parts_by_cell(labels: Iterable[str], known: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """Labels that seem to hold several labels, each with its parts.

    A comma or a slash may belong to a name ("Paris, France", "1/10", "and/or"), so it separates labels only if the
    parts are labels by themselves, in the file or in the database.
    """
    names = [name for name in labels if not is_missing(name)]
    found = {name: parts for name in names if len(parts := listed(name)) > 1}
    alone = {plain_key(name) for name in (*names, *known)}
    for sign in (*_STRONG, *_WEAK, *_WEAKEST):
        cells = {name: _split(name, sign) for name in names if sign in name and name not in found}
        met = Counter(key for parts in cells.values() for key in {plain_key(part) for part in parts})
        found |= {name: parts for name, parts in cells.items() if _are_labels(parts, sign, alone, met)}
    return found


def listed(name: str) -> tuple[str, ...]:
    """The labels of a list as JSON or Python write it, or of a Label Studio answer; empty if it is neither."""
    return tuple(dict.fromkeys(str(each) for each in _list_in(name) or () if each is not None))


def bare(name: str) -> str:
    """A label without a program's markup around it: the one in a list (`['card']`), or after fastText's prefix.

    "" for an empty list. Cells with several labels stay as they are.
    """
    if name.lstrip()[:1] not in _OPENING:
        return name
    if name.startswith("__") and (prefix := _FASTTEXT.match(name)):
        return name[prefix.end() :]
    found = _list_in(name)
    if found is None:
        return name
    labels = listed(name)
    return name if len(labels) > 1 else labels[0] if labels else ""


def _list_in(name: str) -> list[str | int | None] | None:
    """The list that a cell holds; None: it holds something else."""
    name = name.strip()
    if not name.startswith(("[", "{", "(")) or not name.endswith(("]", "}", ")")):
        return None
    try:
        value = json.loads(name)
    except (ValueError, RecursionError):
        inside = re.fullmatch(r"\[\s*('[^']*'(?:\s*,?\s*'[^']*')*)\s*\]", name)  # as pandas and numpy write lists
        value = re.findall("'([^']*)'", inside[1]) if inside else _literal(name)
    if isinstance(value, dict):
        value = value.get("choices")
    if not isinstance(value, list) or not all(each is None or isinstance(each, str | int) for each in value):
        return None
    return value


def _literal(name: str) -> list[object] | None:
    """The elements, in order, of a list, tuple or set as Python prints it; None: it is something else."""
    if len(name) > _LONGEST or "\\" in name or _SPACED_QUOTES.search(name):
        return None
    try:
        value = ast.literal_eval(name)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return (
        sorted(value, key=str) if isinstance(value, set) else list(value) if isinstance(value, list | tuple) else None
    )


def has_markup(name: str) -> bool:
    """Whether a label carries a program's markup: JSON, fastText's prefix, escapes, HTML, or Python's bytes."""
    if _FASTTEXT.match(name) or listed(name) or _ESCAPED.search(name):
        return True
    if not name.startswith(("[", "{")):
        return False
    try:
        return isinstance(json.loads(name), list | dict)
    except (ValueError, RecursionError):
        return False


def _split(name: str, sign: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in name.split(sign)))


def _are_labels(parts: tuple[str, ...], sign: str, alone: set[str], met: Counter[str]) -> bool:
    keys = [plain_key(part) for part in parts if part]
    if len(keys) < 2 or len(keys) < len(parts) or len(set(keys)) < 2:
        return False
    if sign in _WEAKEST:
        return all(key in alone for key in keys) and not all(key.isdigit() for key in keys)
    repeated = all(key in alone or met[key] > 1 for key in keys)
    return repeated and (sign in _STRONG or any(key in alone for key in keys))
