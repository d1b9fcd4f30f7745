"""Accuracy checks, drift checks and incidents."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, Index, Integer
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now, row_id


class AccuracyLook(Table):
    """A check of a version's accuracy by audits of the four weeks before a midnight (UTC), and whether it alarms."""

    __tablename__ = "accuracy_looks"

    day: Mapped[date] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    answers: Mapped[int] = mapped_column(BigInteger)
    drawn: Mapped[int] = mapped_column(Integer)
    decided: Mapped[int] = mapped_column(Integer, comment="of those drawn")
    accuracy: Mapped[float | None] = mapped_column(Double, comment="null: nothing was decided")
    low: Mapped[float] = mapped_column(Double, comment="of the 95 % interval")
    high: Mapped[float] = mapped_column(Double)
    expected: Mapped[float | None] = mapped_column(Double, comment="the mean confidence; null: nothing was answered")
    alarm: Mapped[bool]
    forms: Mapped[dict[str, Any]] = mapped_column(
        server_default=sql("'{}'"), comment="the same figures of each form that answered"
    )


class DriftReference(Table):
    """Predictions of a version's form for held-out documents of its snapshot, with which traffic is compared.

    It only has ids, so an erased text is gone from here too.
    """

    __tablename__ = "drift_references"

    model_version_id: Mapped[int] = mapped_column(
        ForeignKey("model_versions.id"), primary_key=True, autoincrement=False
    )
    form: Mapped[str] = mapped_column(primary_key=True, server_default="whole")
    training_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), comment="documents it was trained on, a sample")
    document_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), comment="held-out documents, a sample")
    label_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer), comment="predicted, of document_ids")
    confidences: Mapped[list[float]] = mapped_column(ARRAY(REAL), comment="of document_ids")


class DriftLook(Table):
    """A drift check and its outcome; if it has no end after half an hour, its process has died."""

    __tablename__ = "drift_looks"

    id: Mapped[int] = row_id(Integer)
    began_at: Mapped[datetime] = now()
    ended_at: Mapped[datetime | None]
    failed: Mapped[bool] = mapped_column(server_default=sql("false"))
    said: Mapped[str | None] = mapped_column(comment="what came of it, for people")


class Incident(Table):
    """Something that people must look into, from its alarm to its end; at most one of each kind is open."""

    __tablename__ = "incidents"

    id: Mapped[int] = row_id(Integer)
    kind: Mapped[str]
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    statistic: Mapped[float] = mapped_column(REAL, comment="of drift: by how much a share moved, beyond doubt")
    evidence: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    opened_at: Mapped[datetime] = now()
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    closed_because: Mapped[str | None]

    __table_args__ = (Index("uq_incidents_open", "kind", unique=True, postgresql_where=sql("closed_at IS NULL")),)
