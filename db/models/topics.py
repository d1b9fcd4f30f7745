"""Topics: groups of documents that are alike, of what is undecided and of what may be a new label."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now, row_id


class Grouping(Table):
    """A grouping of one kind of documents: asked for, running, or the one whose topics are shown."""

    __tablename__ = "groupings"

    id: Mapped[int] = row_id(Integer)
    kind: Mapped[str] = mapped_column(server_default=sql("'undecided'"))
    asked_at: Mapped[datetime] = now()
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    documents: Mapped[int] = mapped_column(Integer, server_default=sql("0"), comment="that were grouped")
    waiting: Mapped[int] = mapped_column(Integer, server_default=sql("0"), comment="that were undecided then")
    without_vector: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    error: Mapped[str | None]

    __table_args__ = (CheckConstraint("kind IN ('undecided', 'new_label')", name="kind"),)


class Topic(Table):
    """A group of documents that are alike, named by its telling words."""

    __tablename__ = "topics"

    id: Mapped[int] = row_id(Integer)
    grouping_id: Mapped[int] = mapped_column(ForeignKey("groupings.id"), index=True)
    words: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    size: Mapped[int] = mapped_column(Integer, comment="documents, when they were grouped")
    copies: Mapped[bool] = mapped_column(comment="whether all are copies of one text")
    aside_at: Mapped[datetime | None] = mapped_column(comment="since when people put it aside")


class TopicDocument(Table):
    """A document of a topic; the most typical one has place 0."""

    __tablename__ = "topic_documents"

    document_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("documents.id"), primary_key=True, autoincrement=False
    )
    topic_id: Mapped[int] = mapped_column(ForeignKey("topics.id"), primary_key=True, autoincrement=False)
    place: Mapped[int] = mapped_column(Integer)

    __table_args__ = (Index("ix_topic_documents_topic_id", "topic_id", "place"),)
