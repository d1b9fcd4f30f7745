"""An entry of a stream, parsed into a document that can be classified."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sortline.errors import InvalidDocumentError
from sortline.meta import check_meta
from sortline.queue import (
    DEFAULT_SOURCE,
    MAX_ID_CHARS,
    MAX_SOURCE_CHARS,
    check_name,
    check_text,
    pack_entry,
)
from sortline.settings import Lane
from sortline.text import content_hash, repair


@dataclass(slots=True)
class Entry:
    """One delivery of one stream entry.

    ``deliveries`` includes this one; ``fields`` are as sent, keys and values in turn; ``size``: their bytes.
    """

    lane: Lane
    entry_id: str
    fields: Sequence[bytes]
    deliveries: int = 1
    id: str = ""
    source: str = DEFAULT_SOURCE
    text: str = ""
    repaired: bool = False
    content_hash: str = ""
    meta: bytes | None = None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(map(len, self.fields))  # here, because an entry that can't be parsed is held too

    def parse(self) -> None:
        """Fill the document's fields.

        Raises:
            InvalidDocumentError: the entry breaks the contract; it has the reason of the dead letter.
        """
        each = iter(self.fields)
        fields = dict(zip(each, each, strict=False))
        self.source = _name(fields, b"source", MAX_SOURCE_CHARS, DEFAULT_SOURCE)
        self.id = _name(fields, b"id", MAX_ID_CHARS)
        raw = fields.get(b"text")
        if raw is None:
            raise InvalidDocumentError("field text is missing")
        check_text(raw)
        self.content_hash = content_hash(raw)
        self.text, self.repaired = repair(raw)
        meta = fields.get(b"meta")
        if meta is not None:
            check_meta(meta)
            self.meta = meta

    def named(self) -> dict[str, str]:
        """The fields that log lines about it carry."""
        return {"lane": self.lane, "entry": self.entry_id, "source": self.source, "document": self.id}

    def packed(self) -> bytes:
        """The fields as a dead letter keeps them."""
        return pack_entry(list(zip(self.fields[::2], self.fields[1::2], strict=False)))


def _name(fields: dict[bytes, bytes], name: bytes, limit: int, default: str = "") -> str:
    raw = fields.get(name)
    if raw is None:
        if default:
            return default
        raise InvalidDocumentError(f"field {name.decode()} is missing")
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        raise InvalidDocumentError(f"field {name.decode()} is not UTF-8") from None
    if not value or len(value) > limit or "\x00" in value:
        check_name(name.decode(), value, limit)
    return value
