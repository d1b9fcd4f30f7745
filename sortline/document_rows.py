"""The documents in a file's rows."""

from sortline.errors import InvalidDocumentError
from sortline.files.rows import Row
from sortline.meta import read_json
from sortline.queue import Document
from sortline.text import content_hash

_ID_LENGTH = 32  # hexadecimal digits of the text's sha256 that replace a missing id


def id_of(row: Row) -> str:
    """A row's id, or one made from its text, so that the same row is always the same document."""
    return row.id or content_hash(row.text.encode())[:_ID_LENGTH]


def document_of(row: Row, source: str) -> Document:
    """The document to classify in a row; the same row always yields the same document.

    Args:
        source: for rows that don't name one.

    Raises:
        InvalidDocumentError: the row was refused, or breaks a limit of the queue.
    """
    if row.error:
        raise InvalidDocumentError(row.error)
    meta = row.meta or None
    if isinstance(meta, str):
        try:
            meta = read_json(meta)
        except ValueError as error:
            raise InvalidDocumentError(f"meta is not JSON: {error}; if the column holds none, rename it") from None
    document = Document(id_of(row), row.text, row.source or source, meta)
    document.fields()
    return document
