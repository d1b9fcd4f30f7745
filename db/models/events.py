"""Events to send: to the results stream and to webhooks."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, SmallInteger, Text, func
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now, row_id


class OutboxEvent(Table):
    """An event that housekeeping sends after the transaction that caused it, in order for each document."""

    __tablename__ = "outbox"

    id: Mapped[int] = row_id()
    document_id: Mapped[int | None] = mapped_column(ForeignKey("documents.id"))
    event: Mapped[dict[str, Any]] = mapped_column(comment="the fields of the results stream")
    created_at: Mapped[datetime] = now()
    next_attempt_at: Mapped[datetime] = now()
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    sent_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_outbox_unsent", "id", postgresql_where=sql("sent_at IS NULL")),
        Index("ix_outbox_document_id", "document_id"),
    )


class Webhook(Table):
    """An address to which events are sent, signed as Standard Webhooks specifies."""

    __tablename__ = "webhooks"

    id: Mapped[int] = row_id(Integer)
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    secret: Mapped[str] = mapped_column(comment="whsec_...; in the clear, because it signs")
    previous_secret: Mapped[str | None]
    previous_until: Mapped[datetime | None] = mapped_column(comment="until then the previous secret signs too")
    sources: Mapped[list[str] | None] = mapped_column(ARRAY(Text), comment="null: all")
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = now()
    paused_at: Mapped[datetime | None]
    paused_because: Mapped[str | None]
    failures: Mapped[int] = mapped_column(
        Integer, server_default=sql("0"), comment="rounds without a success, in a row"
    )
    failing_since: Mapped[datetime | None]
    last_error: Mapped[str | None]
    last_success_at: Mapped[datetime | None]
    retry_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="not tried before")
    held_until: Mapped[datetime | None] = mapped_column(comment="by the process that sends to it now")

    @property
    def state(self) -> str:
        """paused, failing or active."""
        if self.paused_at is not None:
            return "paused"
        return "failing" if self.failures else "active"


class WebhookDelivery(Table):
    """An event to send to a webhook; the transaction that causes the event inserts it.

    There is no foreign key to webhooks, so that deleting a webhook never makes a document's transaction fail.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[int] = row_id()
    webhook_id: Mapped[int] = mapped_column(Integer)
    document_id: Mapped[int | None] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), index=True, comment="null: of a dead letter"
    )
    source: Mapped[str]
    external_id: Mapped[str]
    event: Mapped[dict[str, Any]] = mapped_column(comment="the fields of the results stream")
    state: Mapped[str] = mapped_column(server_default="waiting")
    created_at: Mapped[datetime] = now()
    next_attempt_at: Mapped[datetime] = now()
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    give_up_at: Mapped[datetime | None] = mapped_column(comment="set by the first failure")
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'delivered', 'dead')", name="state"),
        Index("ix_webhook_deliveries_waiting", "webhook_id", "id", postgresql_where=sql("state = 'waiting'")),
        Index("ix_webhook_deliveries_ended", "ended_at", postgresql_where=sql("state <> 'waiting'")),
        Index("ix_webhook_deliveries_document", "source", "external_id", "webhook_id", "id"),
    )
