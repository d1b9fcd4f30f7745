"""Predictions of model versions, their daily counts, and explanations."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, Index, Integer, SmallInteger
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now


class Prediction(Table):
    """A model version's prediction for a document.

    It has no foreign keys, which would cost a look-up per row on the hot path. Model versions and labels are never
    deleted. Who adds a prediction stores its document in the same transaction or has locked it, so erasure reaches
    every prediction.
    """

    __tablename__ = "predictions"

    document_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    model_version_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(primary_key=True, comment="live, rescore or shadow")
    label_id: Mapped[int] = mapped_column(Integer)
    confidence: Mapped[float] = mapped_column(REAL)
    probabilities: Mapped[list[float]] = mapped_column(ARRAY(REAL), comment="in the order of label_ids")
    fit: Mapped[float | None] = mapped_column(
        REAL, comment="probability that the document belongs to one of the labels; null: the model gives none"
    )
    decision: Mapped[str] = mapped_column(comment="accept or review")
    windows: Mapped[int] = mapped_column(SmallInteger, server_default=sql("1"))
    truncated: Mapped[bool] = mapped_column(server_default=sql("false"))
    unknown_share: Mapped[float | None] = mapped_column(
        REAL, comment="of the characters that the model can't read, where it is over a tenth"
    )
    form: Mapped[str | None] = mapped_column(
        comment="of the model version, the one that predicted; null: made before forms were noted"
    )
    revision: Mapped[int | None] = mapped_column(
        Integer, comment="of the model version's head; null: the checkpoint's own"
    )
    created_at: Mapped[datetime] = now()

    __table_args__ = (
        CheckConstraint("kind IN ('live', 'rescore', 'shadow')", name="kind"),
        CheckConstraint("decision IN ('accept', 'review')", name="decision"),
        # Summarised as it grows, because a query for the last minute reads all ranges that are not summarised.
        Index(
            "ix_predictions_created_at",
            "created_at",
            postgresql_using="brin",
            postgresql_with={"autosummarize": True},
        ),
        Index("ix_predictions_label_id", "label_id", "document_id"),
        Index("ix_predictions_shadow", "model_version_id", "document_id", postgresql_where=sql("kind = 'shadow'")),
    )


class Unpredicted(Table):
    """A stored document that waits for its first prediction.

    The transaction that stores a document without a prediction adds the row; the one that stores its first prediction
    deletes it. So whatever is committed late is still found.
    """

    __tablename__ = "unpredicted"

    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), primary_key=True, autoincrement=False)
    tries: Mapped[int] = mapped_column(
        SmallInteger, server_default=sql("0"), comment="how often a worker has begun to predict it"
    )
    taken_until: Mapped[datetime | None] = mapped_column(
        comment="until when a worker has it; null: no worker has had it"
    )


class AnswerCount(Table):
    """The number of live predictions of a version's form in a day (UTC), counted by housekeeping.

    Erased ones stay counted. Predictions for documents that were decided before are left out, because they enter no
    draw for audits.
    """

    __tablename__ = "answer_counts"

    day: Mapped[date] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    label_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    decision: Mapped[str] = mapped_column(primary_key=True, comment="accept or review")
    form: Mapped[str] = mapped_column(
        primary_key=True, comment="of the model version, the one that answered; empty: not noted"
    )
    documents: Mapped[int] = mapped_column(BigInteger)
    confidence: Mapped[float] = mapped_column(Double, comment="the sum of theirs")


class Explanation(Table):
    """Which words of a document speak for a label, by a form of a model version; requested, then computed once."""

    __tablename__ = "explanations"

    document_id: Mapped[int] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    model_version_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    label_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    form: Mapped[str] = mapped_column(primary_key=True, comment="of the model version, the one that is explained")
    revision: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False, server_default=sql("0"),
        comment="of the version's last layer, the one that is explained; 0: the checkpoint's own layer",
    )  # fmt: skip
    state: Mapped[str] = mapped_column(server_default="waiting")
    found: Mapped[dict[str, Any] | None] = mapped_column(
        comment="words by their place in the text, as classifier.explain gives them"
    )
    completeness_error: Mapped[float | None] = mapped_column(REAL)
    error: Mapped[str | None]
    asked_at: Mapped[datetime] = now()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name="state"),
        Index("ix_explanations_model_version_id_label_id", "model_version_id", "label_id", "document_id"),
        Index("ix_explanations_waiting", "asked_at", postgresql_where=sql("state = 'waiting'")),
    )
