"""The index that searches by words use, and the documents that are not in it yet."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now, row_id


class SearchIndex(Table):
    """The words of a document's text, which housekeeping enters after the document is stored."""

    __tablename__ = "search_index"

    document_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("documents.id"), primary_key=True, autoincrement=False
    )
    received_at: Mapped[datetime] = mapped_column(comment="the document's; results are ordered by it")
    words: Mapped[str] = mapped_column(TSVECTOR)

    # Why the words are not in an index of documents: docs/decisions/0037-search-index.md
    __table_args__ = (Index("ix_search_index_words", "words", postgresql_using="gin"),)


class SearchPending(Table):
    """Documents that one statement stored and that are not in the search index yet; a trigger on documents adds it."""

    __tablename__ = "search_pending"

    id: Mapped[int] = row_id()
    document_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    documents: Mapped[int] = mapped_column(Integer, comment="how many they are")
    bytes: Mapped[int] = mapped_column(BigInteger, comment="of their texts, as far as these are indexed")
    stored_at: Mapped[datetime] = now()
