"""API tokens, idempotency keys, uploaded files and the audit log."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, LargeBinary, String, event, func
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.audit import came_from, log_row
from db.models.table import Table, now, row_id


class ApiToken(Table):
    """A bearer token of the HTTP API; only its sha256 is stored."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = row_id(Integer)
    name: Mapped[str] = mapped_column(unique=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=sql("'{documents}'"))
    created_at: Mapped[datetime] = now()
    expires_at: Mapped[datetime | None] = mapped_column(comment="null: never")
    used_at: Mapped[datetime | None] = mapped_column(comment="last; written once a minute at most")
    revoked_at: Mapped[datetime | None]


class IdempotencyKey(Table):
    """A request that may be repeated, and its answer; kept for a day."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(primary_key=True, comment="a token's or a person's name, as the audit has it")
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary, comment="sha256 of what was asked")
    answer: Mapped[dict[str, Any] | None] = mapped_column(comment="what is answered to it again")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class ImportFile(Table):
    """A file between its preview and its import; kept for at most an hour."""

    __tablename__ = "import_files"

    token_hash: Mapped[bytes] = mapped_column(
        LargeBinary, primary_key=True, comment="sha256 of what the preview's form carries"
    )
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = now()


class AuditEvent(Table):
    """Who changed what, and when; append-only, except for refusals, which are counted by the hour."""

    __tablename__ = "audit_events"

    id: Mapped[int] = row_id()
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    created_at: Mapped[datetime] = now()
    address: Mapped[str | None] = mapped_column(
        default=lambda: came_from.get(),  # noqa: PLW0108 SQLAlchemy asks for its arguments
        comment="that a request to the web came from; null: it was no such request",
    )
    hour: Mapped[datetime | None] = mapped_column(comment="of what is counted; null: it happened once")
    times: Mapped[int] = mapped_column(Integer, server_default=sql("1"))

    __table_args__ = (
        Index(
            "uq_audit_events_hour", "hour", "action", "actor", "subject", "address", unique=True,
            postgresql_where=sql("hour IS NOT NULL"),
        ),
    )  # fmt: skip


event.listen(AuditEvent, "after_insert", log_row)
