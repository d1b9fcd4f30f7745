"""HTML to plain text, in time linear in the length of any text.

``html.parser`` of Python 3.11 took 275 s for 150 kB of ``<a <a <a ...``, and a document may have 1 MiB. Malformed
markup stays as text, as in a browser's error recovery.
"""

import html
import re

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<![a-zA-Z\[][^<>]*>|<\?[^<>]*>")
_OPENING = re.compile(r"<(?:!--|(script|style)\b[^<>]*>)", re.IGNORECASE)
_ENDS = {
    "": re.compile(r"-->"),
    "script": re.compile(r"</script\s{0,9}>", re.I),
    "style": re.compile(r"</style\s{0,9}>", re.I),
}


def strip_html(text: str) -> str:
    """Replace tags, comments, scripts and style sheets by spaces, and decode character references."""
    text = blank_markup(text)
    return html.unescape(text) if "&" in text else text


def blank_markup(text: str) -> str:
    """Like `strip_html`, but keep character references, so that every character stays in its place."""
    return _TAG.sub(lambda tag: " " * len(tag[0]), _without_hidden(text)) if "<" in text else text


def _without_hidden(text: str) -> str:
    """Replace comments, scripts and style sheets by spaces; those that are never closed stay."""
    kept: list[str] = []
    position = 0
    unclosed: set[str] = set()  # kinds whose end is not found once have none later either: do not search again
    start = _OPENING.search(text)
    while start:
        kind = (start[1] or "").lower()
        end = None if kind in unclosed else _ENDS[kind].search(text, start.end())
        if end is None:
            unclosed.add(kind)
            kept.append(text[position : start.end()])
            position = start.end()
        else:
            kept += (text[position : start.start()], " " * (end.end() - start.start()))
            position = end.end()
        start = _OPENING.search(text, position)
    kept.append(text[position:])
    return "".join(kept)
