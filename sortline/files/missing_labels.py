"""Words that mean "no label": what programs and people write if nobody gave a label."""

from collections.abc import Collection

# Words and signs that mean that there is no label.
_MISSING = frozenset((
    "nan", "null", "none", "n/a", "na", "n.a.", "nil", "undefined", "nat", "<na>", "<null>", "<none>", "(null)",
    "(none)", "(blank)", "(empty)", "[null]", "\\n", "none!", "np.nan", "pd.na", "nonetype", "#n/a", "#n/a!", "#ref!",
    "#value!", "#div/0!", "#name?", "#null!", "#num!", "#error!", "todo", "tbd", "tba", "-", "--", "---", "–", "—",
    ".", "..", "...", "…", "_", "?", "??", "???", "/", "\\", "*", "not_set", "notset", "no_label", "nolabel",
    "unlabeled", "unlabelled", "not available", "not applicable", "no label", "not set", "not labelled", "not labeled",
    "no data",
))  # fmt: skip
# Words that often mean it, but can be labels too.
_OFTEN_MISSING = frozenset(("unknown", "missing", "empty", "blank"))
# Signs that are labels if their counterpart is one.
_COUNTERPARTS = {"-": "+", "*": "**"}


def is_missing(name: str) -> bool:
    """Whether a label is a word or sign that usually means that there is no label."""
    return name.strip().casefold() in _MISSING


def missing_labels(names: Collection[str]) -> list[str]:
    """The labels of a file that mean, or often mean, that there is no label."""
    return [
        name
        for name in names
        if (is_missing(name) or name.casefold() in _OFTEN_MISSING) and _COUNTERPARTS.get(name) not in names
    ]
