"""Documents, dead letters, and what is kept about erased documents."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, LargeBinary, SmallInteger, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now, row_id


class Document(Table):
    """A text that a producer sent. An edited text is a new row; the newest has the greatest entry_id."""

    __tablename__ = "documents"

    id: Mapped[int] = row_id()
    source: Mapped[str]
    external_id: Mapped[str]
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, comment="sha256 of the text as sent")
    text: Mapped[str]
    repaired: Mapped[bool] = mapped_column(server_default=sql("false"))
    meta: Mapped[dict[str, Any] | None]
    lane: Mapped[str]
    entry_id: Mapped[str | None] = mapped_column(comment="of the last time it was sent; null: imported")
    received_at: Mapped[datetime] = now()

    __table_args__ = (
        UniqueConstraint("source", "external_id", "content_hash"),
        Index("ix_documents_received_at", "received_at", "id"),
    )


class DeadLetter(Table):
    """An entry that could not be classified, as sent, and the reason."""

    __tablename__ = "dead_letters"

    id: Mapped[int] = row_id()
    lane: Mapped[str]
    entry_id: Mapped[str]
    source: Mapped[str | None]
    external_id: Mapped[str | None]
    reason: Mapped[str]
    detail: Mapped[str]
    raw: Mapped[bytes] = mapped_column(LargeBinary, comment="the entry's fields, as sortline.queue packs them")
    attempts: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = now()
    requeued_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("lane", "entry_id"),
        Index("ix_dead_letters_source_external_id", "source", "external_id"),
        Index("ix_dead_letters_reason", "reason", "id", postgresql_where=sql("requeued_at IS NULL")),
    )


class Erasure(Table):
    """The name of a document that was erased on request; what was sent under it before must not be stored again."""

    __tablename__ = "erasures"

    name_hash: Mapped[bytes] = mapped_column(
        LargeBinary, primary_key=True, comment="sha256 of source and id, the source's length before them"
    )
    erased_at: Mapped[datetime] = now()
    before: Mapped[dict[str, Any]] = mapped_column(comment="the last entry id of live, bulk and results then")
    swept_at: Mapped[datetime | None] = mapped_column(comment="when streams and reports were found clear of it")

    __table_args__ = (Index("ix_erasures_unswept", "erased_at", postgresql_where=sql("swept_at IS NULL")),)


class ErasedCount(Table):
    """Numbers of erased documents, so that statistics can still count them."""

    __tablename__ = "erased_counts"

    id: Mapped[int] = row_id()
    month: Mapped[date] = mapped_column(comment="in which they were received")
    label_id: Mapped[int | None] = mapped_column(Integer, comment="what was said of them last; null: nothing")
    split: Mapped[str | None]
    reason: Mapped[str] = mapped_column(comment="request or retention")
    documents: Mapped[int] = mapped_column(BigInteger)
    predictions: Mapped[int] = mapped_column(BigInteger)
    reviews: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint("reason IN ('request', 'retention')", name="reason"),
        UniqueConstraint("month", "label_id", "split", "reason", postgresql_nulls_not_distinct=True),
    )
