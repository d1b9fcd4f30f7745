"""Labels of a file that look the same, and folding them into one on request."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sortline.files.label_cells import parts_by_cell
from sortline.files.label_keys import accented_key, has_accents, mixes_scripts, plain_keys
from sortline.files.missing_labels import is_missing

NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
WHOLE = re.compile(r"[+-]?\d+(?:\.0*)?")
_FLOAT_OF_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def fold_labels(names: Mapping[str, int], known: Collection[str] = ()) -> dict[str, str]:
    """The name into which each label that looks like another is folded; labels that stay are left out.

    The known label wins, else the most frequent one. A whole number that became a decimal one (1.0) is made whole again
    if all decimal numbers of the file are of that kind. Cells that hold several labels, words that mean "missing" and
    labels in the database are never folded.

    Args:
        names: the number of examples of each label, by its cleaned name.
        known: labels in the database.
    """
    known = frozenset(known)
    several = parts_by_cell(names, known)
    alone = {name: count for name, count in names.items() if name not in several and not is_missing(name)}
    folded = whole_again(alone, known)
    for group in alike(alone, known):
        target = winner(group, names, known)
        folded.update((name, folded.get(target, target)) for name in group if name in alone and name not in known)
    return {name: target for name, target in folded.items() if name != target}


def alike(alone: Mapping[str, int], known: frozenset[str]) -> list[list[str]]:
    """Labels of the file and the database that look the same, in groups of two or more."""
    by_key: dict[str, list[str]] = {}  # names that share a key share the list
    for name in dict.fromkeys([*alone, *sorted(known)]):
        if is_missing(name):
            continue
        keys = plain_keys(name)
        group = [*dict.fromkeys(other for key in keys for other in by_key.get(key, ())), name]
        for key in keys.union(*map(plain_keys, group)) if len(group) > 1 else keys:
            by_key[key] = group
    distinct = {id(group): group for group in by_key.values() if len(group) > 1}
    return [part for group in distinct.values() for part in _by_accents(group) if len(part) > 1]


def _by_accents(names: Sequence[str]) -> list[list[str]]:
    """One group if an accent was lost (résumé, resume); several if accents distinguish words (ma, má, mà)."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_key[accented_key(name) if has_accents(name) else ""].append(name)
    return [list(names)] if len(by_key.keys() - {""}) < 2 else list(by_key.values())


def winner(group: Sequence[str], counts: Mapping[str, int], known: frozenset[str]) -> str:
    """The name that wins. Among equally frequent ones: plain letters, not all capitals, short, and first to occur.

    A word of mixed scripts never wins over one that can be typed.
    """

    def place(name: str) -> tuple[bool, bool, int, bool, bool, int]:
        plain = unicodedata.is_normalized("NFKC", name)
        return name not in known, mixes_scripts(name), -counts.get(name, 0), not plain, name.isupper(), len(name)

    return min(group, key=place)


def whole_again(alone: Mapping[str, int], known: frozenset[str]) -> dict[str, str]:
    """1.0 → 1, if no decimal number of the file has another fraction (as versions and measurements have)."""
    numbers = [name for name in alone if NUMBER.fullmatch(name) and "." in name]
    if not all(WHOLE.fullmatch(name) for name in numbers):
        return {}
    found = ((name, _FLOAT_OF_WHOLE.fullmatch(name)) for name in numbers if name not in known)
    return {name: match[1] for name, match in found if match}
