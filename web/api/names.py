"""Source and id of the document that a request is about: in its path, or in its query, where no proxy changes them.

In a path, a slash separates the two names, so a slash within a name is sent as %2F. Many proxies decode that (nginx
does if proxy_pass ends in a path), and then nobody can see where the source ends. To read a document, we look which
existing document the path may mean; to erase one we never guess, because that could erase another document.
"""

from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Query, Request
from sqlalchemy.orm import Session

from db.queries.document_state import known_names
from sortline.errors import InvalidDocumentError, NotFoundError
from sortline.queue import MAX_ID_CHARS, MAX_SOURCE_CHARS, check_name
from sortline.text import Text
from web.links import root

Name = tuple[str, str]

_BEFORE = "/v1/documents/"
_DECODED = (
    "the path does not show where the source ends and the id begins: a slash within a name was not encoded, or a "
    "proxy on the way decoded its %2F. Send the names in the query, {method} {route}?source=SOURCE&id=ID, or let the "
    "proxy pass paths on unchanged (nginx: nothing after host and port in proxy_pass)"
)
_NONE = "there is no such document: the path must be /v1/documents/{source}/{id}"

Source = Annotated[Text, Query(description="The source with which the document was sent.")]
Id = Annotated[Text, Query(description="The id with which the document was sent.")]


def names_in_path(request: Request, opened: Session, after: str = "") -> Name:
    """Source and id from the path as it was sent, in which %2F is not decoded yet.

    Args:
        after: what follows them in the path.

    Raises:
        NotFoundError: no document can have such names, or a proxy decoded them and not exactly one document fits.
    """
    readings = _readings(request, after)
    if len(readings) == 1:
        return readings[0]
    known = known_names(opened, readings)
    if len(known) != 1:
        raise NotFoundError(_decoded(request, after))
    return known[0]


def sure_names_in_path(request: Request) -> Name:
    """Like `names_in_path`, for what can't be undone: a path that can be read in several ways is refused.

    Raises:
        NotFoundError: no document can have such names, or the path can be read in several ways.
    """
    if len(_parts(request, "")) > 2:
        raise NotFoundError(_decoded(request, ""))
    return _readings(request, "")[0]


def checked(source: str, id: str) -> Name:
    """Source and id, checked to be such as a document may have.

    Raises:
        NotFoundError: no document can have such names.
    """
    try:
        check_name("source", source, MAX_SOURCE_CHARS)
        check_name("id", id, MAX_ID_CHARS)
    except InvalidDocumentError as error:
        raise NotFoundError(f"there is no such document: {error}") from None
    return source, id


def _readings(request: Request, after: str) -> list[Name]:
    """All the names that the path may mean: at least one, and exactly one if the path has a single slash."""
    parts, readings = _parts(request, after), []
    for end in range(1, len(parts)):
        try:
            source, id = (unquote_to_bytes(b"/".join(some)).decode() for some in (parts[:end], parts[end:]))
            readings.append(checked(source, id))
        except (UnicodeDecodeError, NotFoundError):
            continue
    if not readings:
        raise NotFoundError(_NONE)
    return readings


def _parts(request: Request, after: str) -> list[bytes]:
    raw: bytes = request.scope["raw_path"]
    return raw.removeprefix((root() + _BEFORE).encode()).removesuffix(after.encode()).split(b"/")


def _decoded(request: Request, after: str) -> str:
    return _DECODED.format(method=request.method, route=f"{root()}{_BEFORE.rstrip('/')}{after}")
