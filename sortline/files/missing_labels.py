"""Words that mean "no label": what programs and people write if nobody gave a label."""

import re
from collections.abc import Collection

# Words and signs that mean that there is no label.
_MISSING = frozenset((
    "nan", "null", "none", "n/a", "na", "n.a.", "nil", "undefined", "nat", "<na>", "<null>", "<none>", "(null)",
    "(none)", "(blank)", "(empty)", "[null]", "\\n", "none!", "np.nan", "pd.na", "nonetype", "#n/a", "#n/a!", "#ref!",
    "#value!", "#div/0!", "#name?", "#null!", "#num!", "#error!", "todo", "tbd", "tba", "-", "--", "---", "–", "—",
    ".", "..", "...", "…", "_", "?", "??", "???", "/", "\\", "*", "not_set", "notset", "no_label", "nolabel",
    "unlabeled", "unlabelled", "not available", "not applicable", "no label", "not set", "not labelled", "not labeled",
    "no data", "#n/d", "#nv", "#н/д",
))  # fmt: skip
_ERROR = re.compile(r"#\S{2,14}[!?]|ERR:\d{3}")  # of spreadsheets in other languages: #WERT!, #¡VALOR!
# Words that often mean it, but can be labels too.
_OFTEN_MISSING = frozenset(("unknown", "missing", "empty", "blank"))
# Signs that are labels if their counterpart is one.
_COUNTERPARTS = {"-": "+", "*": "**"}


def is_missing(name: str) -> bool:
    """Whether a label is a word or sign that usually means that there is no label."""
    name = name.strip()
    return name.casefold() in _MISSING or (name[:1] in "#E" and _ERROR.fullmatch(name.upper()) is not None)


def missing_labels(names: Collection[str]) -> list[str]:
    """The labels of a file that mean, or often mean, that there is no label; -1 does among codes from 0."""
    codes = "0" in names and all(re.fullmatch(r"-1|\d+", name) for name in names)
    return [
        name
        for name in names
        if (is_missing(name) or name.casefold() in _OFTEN_MISSING or (codes and name == "-1"))
        and _COUNTERPARTS.get(name) not in names
    ]
