"""Model versions, what is promised of them, and shadows."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now, row_id


class ModelVersion(Table):
    """A checkpoint that is, was or may become active."""

    __tablename__ = "model_versions"

    id: Mapped[int] = row_id(Integer)
    status: Mapped[str] = mapped_column(server_default="candidate")
    form: Mapped[str] = mapped_column(server_default="whole", comment="the name of the form that serves")
    starter: Mapped[bool] = mapped_column(
        server_default=sql("false"),
        comment="made from names, guidelines, examples and decisions; it suggests and accepts nothing",
    )
    checkpoint_uri: Mapped[str]
    sha256: Mapped[str] = mapped_column(comment="of the checkpoint's sortline.json, which names all files")
    base_model: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    label_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    may_lack_proof: Mapped[bool] = mapped_column(
        server_default=sql("false"),
        comment="it accepted without proof before people could choose a risk target, and goes on",
    )
    report_sha256: Mapped[str | None] = mapped_column(
        comment="of the page of its training's report; null: made before there were such checksums, or there is none"
    )
    created_at: Mapped[datetime] = now()
    promoted_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("status IN ('candidate', 'active', 'retired', 'rejected')", name="status"),
        Index("uq_model_versions_active", "status", unique=True, postgresql_where=sql("status = 'active'")),
    )


class RiskTarget(Table):
    """A choice of the share of wrong ones among accepted documents that is promised; the newest one holds."""

    __tablename__ = "risk_targets"

    id: Mapped[int] = row_id(Integer)
    target: Mapped[float | None] = mapped_column(Double, comment="null: as the setting says")
    chosen_by: Mapped[str]
    chosen_at: Mapped[datetime] = now()

    __table_args__ = (CheckConstraint("target > 0 AND target < 1", name="target"),)


class Redecision(Table):
    """A request to decide again what waits, because other thresholds hold now; gone once that is done."""

    __tablename__ = "redecisions"

    id: Mapped[int] = row_id(Integer)
    asked_at: Mapped[datetime] = now()


class ModelForm(Table):
    """A form in which a model version can serve: the whole model, or one that answers faster."""

    __tablename__ = "model_forms"

    model_version_id: Mapped[int] = mapped_column(
        ForeignKey("model_versions.id"), primary_key=True, autoincrement=False
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    uri: Mapped[str | None] = mapped_column(comment="of its checkpoint; null: it could not be made")
    sha256: Mapped[str | None] = mapped_column(comment="of its checkpoint's sortline.json, which names all files")
    state: Mapped[str] = mapped_column(comment="what is known of it against the whole model")
    encoder_id: Mapped[int | None] = mapped_column(Integer, comment="of its vectors; null: not loaded yet")
    figures: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    created_at: Mapped[datetime] = now()

    __table_args__ = (
        CheckConstraint("name IN ('whole', 'int8', 'student', 'student-int8')", name="name"),
        CheckConstraint("state IN ('proved', 'unproved', 'refused', 'missing')", name="state"),
        CheckConstraint("state = 'missing' OR (uri IS NOT NULL AND sha256 IS NOT NULL)", name="sealed"),
    )


class ModelHead(Table):
    """A revision of a model version: its last layer, refitted on the vectors of the documents that people decided."""

    __tablename__ = "model_heads"

    model_version_id: Mapped[int] = mapped_column(
        ForeignKey("model_versions.id"), primary_key=True, autoincrement=False
    )
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    encoder_id: Mapped[int] = mapped_column(Integer, comment="of the vectors that it reads")
    weights: Mapped[bytes | None] = mapped_column(
        LargeBinary, comment="(labels, d + 1) float32, little-endian, the bias last; null: no longer kept"
    )
    temperature: Mapped[float] = mapped_column(REAL)
    figures: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    created_at: Mapped[datetime] = now()


class FormDraw(Table):
    """A document of traffic, drawn at random from those on which a form and its model differ, for people to decide."""

    __tablename__ = "form_draws"

    model_version_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(primary_key=True, comment="of the form")
    document_id: Mapped[int] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True, autoincrement=False, index=True
    )
    label_id: Mapped[int] = mapped_column(Integer, comment="what the whole model answers")
    form_label_id: Mapped[int] = mapped_column(Integer, comment="what the form answers")
    drawn_at: Mapped[datetime] = now()

    __table_args__ = (
        ForeignKeyConstraint(
            ["model_version_id", "name"], ["model_forms.model_version_id", "model_forms.name"],
            name="fk_form_draws_model_version_id",
        ),
    )  # fmt: skip


class Shadow(Table):
    """A period in which a version answers beside the active one; its predictions have the kind shadow."""

    __tablename__ = "shadows"

    id: Mapped[int] = row_id(Integer)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    share: Mapped[float] = mapped_column(REAL, comment="of the documents that are classified meanwhile")
    started_at: Mapped[datetime] = now()
    started_by: Mapped[str]
    ended_at: Mapped[datetime | None]
    ended_because: Mapped[str | None]
    looked_to: Mapped[int] = mapped_column(BigInteger, comment="the last document that was gone past")
    trouble: Mapped[str | None] = mapped_column(comment="why it does not answer")
    held_by: Mapped[str | None] = mapped_column(comment="the worker that is at it")
    held_until: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("share > 0 AND share <= 1", name="share"),
        Index("uq_shadows_open", sql("(true)"), unique=True, postgresql_where=sql("ended_at IS NULL")),
    )
