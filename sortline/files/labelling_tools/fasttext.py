"""Files for fastText: one document per line, labels marked by a prefix
(https://fasttext.cc/docs/en/supervised-tutorial.html)."""

import re
from collections.abc import Iterable

from sortline.files.labelling_tools.answers import Labelled, LeftOut, several

PREFIX = "__label__"
_ANY_PREFIX = re.compile(r"\s*(__[^\W_][^\W_]*__)\S")


def fasttext_prefix(lines: Iterable[str]) -> str:
    """The prefix of labels with which nearly all of a file's first lines begin; "" if it is not such a file."""
    found = [match[1] if (match := _ANY_PREFIX.match(line)) else "" for line in lines if line.strip()]
    prefix = next((each for each in found if each), "")
    return prefix if prefix and found.count(prefix) >= 0.9 * len(found) else ""


def is_fasttext(lines: Iterable[str]) -> bool:
    """Whether a file is for fastText, judged by its first lines."""
    return bool(fasttext_prefix(lines))


def read_fasttext(line: str, prefix: str = PREFIX, labels: bool = True) -> Labelled | LeftOut:
    """Read one line; its labels may be anywhere in it, as fastText allows.

    Args:
        labels: whether they are read; else its text alone is.
    """
    mark = re.compile(rf"(?<!\S){re.escape(prefix)}(\S*?),?(?:\s+|$)")
    marked = (name for found in mark.findall(line) for name in found.split(f",{prefix}"))
    names = list(dict.fromkeys(name for name in marked if name))
    text = mark.sub("", line).strip()
    if not text:
        return LeftOut("has no text")
    if not labels:
        return Labelled(text, None)
    if len(names) > 1:
        return several(names)
    return Labelled(text, names[0] if names else None)
