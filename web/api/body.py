"""Request bodies, parsed here: the standard library keeps lone surrogates, which stricter parsers refuse."""

from typing import Any

from sortline.errors import InvalidDocumentError
from sortline.meta import Doubled, read_json
from sortline.queue import DEFAULT_SOURCE, Document

_GZIP = b"\x1f\x8b"
_DOCUMENT_KEYS = {"id", "text", "source", "meta"}


def parse_object(raw: bytes, keys: set[str]) -> dict[str, Any]:
    """The JSON object of a body, with known keys only.

    Raises:
        InvalidDocumentError: the body is something else.
    """
    try:
        value = read_json(raw)
    except ValueError as error:  # not JSON, not UTF-8, or nested too deeply
        why = "it is compressed; send it uncompressed" if raw.startswith(_GZIP) else _short(error)
        raise InvalidDocumentError(f"the body is not JSON: {why}") from None
    if not isinstance(value, dict):
        raise InvalidDocumentError("the body must be a JSON object")
    _check_keys(value, keys, None)
    return value


def parse_documents(items: object) -> list[Document]:
    """The documents of a request; the queue checks their limits.

    Raises:
        InvalidDocumentError: a document has a wrong shape; the error has its index.
    """
    if not isinstance(items, list):
        raise InvalidDocumentError("documents is missing or is not a list")
    return [_document(item, index) for index, item in enumerate(items)]


def _document(item: object, index: int) -> Document:
    if not isinstance(item, dict):
        raise InvalidDocumentError(f"a document must be a JSON object, not {type(item).__name__}", index=index)
    _check_keys(item, _DOCUMENT_KEYS, index)
    for needed in ("id", "text"):
        if needed not in item:
            raise InvalidDocumentError(f"{needed} is missing", index=index)
    return Document(item["id"], item["text"], item.get("source", DEFAULT_SOURCE), item.get("meta"))


def _check_keys(value: dict[str, Any], known: set[str], index: int | None) -> None:
    if isinstance(value, Doubled):
        raise InvalidDocumentError(f"key {value.name[:50]!r} occurs twice", index=index)
    unknown = sorted(set(value) - known)
    if unknown:
        there_are = ", ".join(sorted(known))
        raise InvalidDocumentError(f"key {unknown[0][:50]!r} is unknown; known keys are {there_are}", index=index)


def _short(error: ValueError) -> str:
    # A decoding error would quote the whole body.
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:200]
