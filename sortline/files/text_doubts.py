"""What looks wrong with a file's texts, reported before anything is stored.

Doubts are guesses shown to the user; they change nothing.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator

from sortline.files.misread import lost_letters, misread_signs
from sortline.files.missing_labels import is_missing

_ESCAPED, _PATH = re.compile(r"\\(?:[nrt]|u[0-9A-Fa-f]{4})"), re.compile(r"[A-Za-z]:\\|\\\\")
_REFERENCE = re.compile(r"&(?:[A-Za-z]{2,8}|#\d{2,6}|#x[0-9A-Fa-f]{2,5});")
_PRINTED_BYTES = re.compile(r"b(?:'.*'|\".*\")", re.DOTALL)
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+-]{1,9}://|/data/|[A-Z]:\\)\S+")
_LOOKED_AT = 20_000  # texts, for rare encodings
_LONGEST_WORD = 15  # characters of a word that means a missing value

# What is counted, and what is said of it, most serious first.
_SAID = {
    "misread": (
        "signs like {example}", "the file was read in a wrong encoding before it was saved; export it again from its "
        "source",
    ),
    "lost": (
        "hardly more than question marks ({example})", "their letters were lost when the file was saved in an encoding "
        "that lacks them; export it again from its source as UTF-8",
    ),
    "missing": (
        "only a word or sign that means a missing value ({example})", "if so, remove these rows; otherwise they count "
        "as texts",
    ),
    "address": (
        "only the address of a file or page ({example})", "it is not opened; put what it holds into the text column",
    ),
    "structure": (
        "a list or an object as programs write it ({example})", "it counts as the text, with its signs and names; put "
        "what people wrote into the text column",
    ),
    "bytes": (
        "bytes as Python prints them ({example})", "decode them before the file is written, or their signs count as "
        "text",
    ),
    "references": (
        "character references of HTML ({example})", "they stay as they are; export the texts as plain text if they "
        "should be letters",
    ),
    "escaped": (
        "{example} written as several characters, as databases and programs write line ends, tabs and letters",
        "they stay as they are, so export the table as CSV or JSON lines if they should be what they stand for",
    ),
}  # fmt: skip


class TextDoubts:
    """Takes a file's texts one after the other, then says what looks wrong with them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._others = 0  # texts that are not ASCII

    def add(self, text: str) -> None:
        """Take a text."""
        self._others += not text.isascii()
        for kind, example in _doubts(text, self._others <= _LOOKED_AT):
            self._counts[kind] += 1
            self._examples.setdefault(kind, example)

    def messages(self) -> list[str]:
        """A sentence for each thing that looks wrong: what was found, and what to do."""
        return [
            f"{count:,} {'text contains' if count == 1 else 'texts contain'} "
            f"{found.format(example=self._examples[kind])}: {advice}"
            for kind, (found, advice) in _SAID.items() if (count := self._counts[kind])
        ]  # fmt: skip


def _doubts(text: str, thoroughly: bool) -> Iterator[tuple[str, str]]:
    """What is doubtful about a text, each with an example."""
    if signs := misread_signs(text, thoroughly):
        yield "misread", signs
    if "??" in text and lost_letters(text):
        yield "lost", _shown(text)
    if len(text) <= _LONGEST_WORD and any(map(str.isalnum, text)) and is_missing(text):
        yield "missing", _shown(text)
    if "\\" in text and not _PATH.search(text) and (escape := _ESCAPED.search(text)):
        yield "escaped", escape[0]
    if "&" in text and (reference := _REFERENCE.search(text)) and reference[0] != "&amp;":
        yield "references", reference[0]
    yield from _not_prose(text.strip())


def _not_prose(text: str) -> Iterator[tuple[str, str]]:
    if text.startswith(("{", "[")) and text.endswith(("}", "]")) and _is_structure(text):
        yield "structure", _shown(text)
    elif text.startswith("b") and _PRINTED_BYTES.fullmatch(text):
        yield "bytes", _shown(text)
    elif " " not in text and _ADDRESS.fullmatch(text):
        yield "address", _shown(text)


def _is_structure(text: str) -> bool:
    """Whether a text in brackets is JSON, or begins as Python prints a list or a dictionary of texts."""
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return text.startswith(("['", '["', "{'", "[[", "[{"))


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"{text[:39]}…"
