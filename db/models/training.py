"""Training runs, their snapshots, and the results of tuning."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, SmallInteger
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now, row_id


class DocumentSplit(Table):
    """Near-duplicate group and split of a labelled document: stored when first assigned, never recomputed."""

    __tablename__ = "document_splits"

    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), primary_key=True)
    group_id: Mapped[int] = mapped_column(BigInteger, index=True, comment="id of the group's first document")
    split: Mapped[str]
    forced: Mapped[bool] = mapped_column(server_default=sql("false"), comment="set by import --split")
    assigned_at: Mapped[datetime] = now()

    __table_args__ = (
        CheckConstraint("split IN ('train', 'validation', 'calibration', 'test', 'left_out')", name="split"),
    )


class Snapshot(Table):
    """Ids, labels, splits and text hashes of one training run, kept as a file in the model store."""

    __tablename__ = "snapshots"

    id: Mapped[int] = row_id(Integer)
    uri: Mapped[str]
    sha256: Mapped[str]
    counts: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now()


class SnapshotReview(Table):
    """A decision in a snapshot; shows which decisions made a model, and which models a decision made."""

    __tablename__ = "snapshot_reviews"

    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshots.id"), primary_key=True, autoincrement=False)
    review_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, index=True)
    split: Mapped[str]


class TrainingRun(Table):
    """One training, from its start to its verdict."""

    __tablename__ = "training_runs"

    id: Mapped[int] = row_id(Integer)
    state: Mapped[str] = mapped_column(server_default="waiting")
    reason: Mapped[str] = mapped_column(comment="why it was started")
    parameters: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    progress: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshots.id"))
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    error: Mapped[str | None]
    lease_token: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"), comment="processes that took it up")
    newest_review_id: Mapped[int | None] = mapped_column(BigInteger, comment="the newest decision when it was frozen")
    heartbeat_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = now()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", name="state"),
        Index(
            "uq_training_runs_open",
            sql("(true)"),
            unique=True,
            postgresql_where=sql("state IN ('waiting', 'running')"),
        ),
    )


class TunedParameters(Table):
    """The best parameters of a tuning study that beat what was used before; the newest row is used."""

    __tablename__ = "tuned_parameters"

    id: Mapped[int] = row_id(Integer)
    study: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    macro_f1: Mapped[float] = mapped_column(REAL, comment="on validation")
    untuned_macro_f1: Mapped[float] = mapped_column(REAL, comment="of what was used before, on the same documents")
    trials: Mapped[int] = mapped_column(Integer)
    report_uri: Mapped[str]
    created_at: Mapped[datetime] = now()
