"""Repair of texts that Postgres can't store."""


def repair(raw: bytes) -> tuple[str, bool]:
    """Decode a text as sent; replace NUL, broken surrogates and bytes that are not UTF-8 by U+FFFD.

    Returns:
        The text as stored, and whether anything was replaced.
    """
    try:
        text = raw.decode("utf-8")
        repaired = False
    except UnicodeDecodeError:
        # JSON producers send lone surrogates, which reach us as WTF-8: one replacement character each.
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
    """The bytes of a text as sent: UTF-8, lone surrogates kept so that `repair` can record them."""
    return text.encode("utf-8", "surrogatepass")


def _only_surrogates(raw: bytes) -> bool:
    try:
        raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True
