"""Texts that Postgres can't store: refused if the sender waits for an answer, repaired if they would be lost."""

import re
from hashlib import sha256
from typing import Annotated

from pydantic import AfterValidator, Field

UNKEPT = re.compile("[\x00\ud800-\udfff]")  # NUL and halves of surrogate pairs


def check_kept(text: str) -> str:
    """Check that Postgres and JSON can store a text; returns it.

    Raises:
        ValueError: it contains a NUL or half of a surrogate pair.
    """
    found = UNKEPT.search(text)
    if found is not None:
        what = "a NUL" if found[0] == "\x00" else "half of a surrogate pair"
        raise ValueError(f"character {found.start() + 1} is {what}, which can't be stored")
    return text


# The type of every incoming text that is not a document: in a body, a query, a path, a form.
Text = Annotated[str, AfterValidator(check_kept), Field(json_schema_extra={"pattern": r"^[^\x00]*$"})]


def whole_number(given: str, most: int) -> int | None:
    """A number as people and addresses write it, from 0 to ``most``; None: it is not one."""
    if not (given.isascii() and given.isdecimal() and len(given) < 20):  # int() is slow on longer ones
        return None
    return found if (found := int(given)) <= most else None


def content_hash(raw: bytes) -> str:
    """What identifies a text as it was sent: the sha256 of its bytes, in hexadecimal."""
    return sha256(raw).hexdigest()


def repair(raw: bytes) -> tuple[str, bool]:
    """Decode a text as sent, replacing NUL, lone surrogates and invalid UTF-8 with U+FFFD.

    Returns:
        The text as stored, and whether anything was replaced.
    """
    try:
        text = raw.decode("utf-8")
        repaired = False
    except UnicodeDecodeError:
        # JSON producers send lone surrogates, which arrive as WTF-8: one replacement character each.
        lenient = raw.decode("utf-8", "surrogatepass") if _only_surrogates(raw) else None
        text = (
            raw.decode("utf-8", "replace")
            if lenient is None
            else lenient.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        )
        repaired = True
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        repaired = True
    return text, repaired


def encode(text: str) -> bytes:
    """The bytes of a text as sent: UTF-8, with lone surrogates kept so that `repair` can record them."""
    return text.encode("utf-8", "surrogatepass")


def _only_surrogates(raw: bytes) -> bool:
    try:
        raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True
