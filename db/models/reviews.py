"""Labels, the queue, and people's decisions."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, SmallInteger
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now, row_id


class Label(Table):
    """A class that documents are sorted into."""

    __tablename__ = "labels"

    id: Mapped[int] = row_id(Integer)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(server_default="", comment="the guideline that reviewers read")
    sensitive: Mapped[bool] = mapped_column(server_default=sql("false"), comment="texts are blurred until clicked")
    archived_at: Mapped[datetime | None]
    merged_into_id: Mapped[int | None] = mapped_column(
        ForeignKey("labels.id"), comment="whose decisions count as that label's"
    )
    retention_days: Mapped[int | None] = mapped_column(
        Integer, comment="how long its documents are kept; 0: for ever; null: as the setting says"
    )

    __table_args__ = (CheckConstraint("retention_days >= 0", name="retention_days"),)


class LabelExample(Table):
    """A text that a person typed to show what a label means."""

    __tablename__ = "label_examples"

    id: Mapped[int] = row_id()
    label_id: Mapped[int] = mapped_column(ForeignKey("labels.id"))
    text: Mapped[str]
    created_at: Mapped[datetime] = now()

    __table_args__ = (Index("ix_label_examples_label_id", "label_id", "id"),)


class QueueItem(Table):
    """A document that waits for a person, and why.

    Reasons: unpredicted (no model has read it yet), doubtful, low_fit (it may fit none of the labels), audit, flag,
    label_error, drift, shadow (another version gives another label), overlap (a second person decides, to measure
    agreement) and repeat (the same person decides again).
    """

    __tablename__ = "queue_items"

    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), primary_key=True, autoincrement=False)
    reason: Mapped[str]
    score: Mapped[float] = mapped_column(
        REAL, comment="least first: the margin of the likeliest two labels, the fit, or the quality of a label in doubt"
    )
    model_version_id: Mapped[int | None] = mapped_column(
        Integer, comment="the version whose prediction the score is of; null: a label in doubt, no prediction"
    )
    label_id: Mapped[int | None] = mapped_column(Integer, comment="the label predicted, or suggested")
    sampling_probability: Mapped[float | None] = mapped_column(REAL)
    note: Mapped[str | None] = mapped_column(comment="what who put it here says of it")
    selected_at: Mapped[datetime] = now()
    turn: Mapped[int] = mapped_column(
        SmallInteger, server_default=sql("0"), comment="before the score: how often it was put off"
    )
    only_for: Mapped[int | None] = mapped_column(Integer, comment="the one user who may decide it")
    not_for: Mapped[int | None] = mapped_column(Integer, comment="the one user who may not")
    not_before: Mapped[datetime | None]
    lease_token: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    lease_until: Mapped[datetime | None]
    leased_to: Mapped[int | None] = mapped_column(Integer, comment="a user")
    shown: Mapped[dict[str, Any] | None] = mapped_column(comment="the prediction that the lease shows; null: hidden")

    __table_args__ = (
        CheckConstraint(
            "reason IN ('doubtful', 'audit', 'label_error', 'drift', 'flag', 'overlap', 'repeat', 'shadow', "
            "'unpredicted', 'low_fit')",
            name="reason",
        ),
        Index("ix_queue_items_reason_turn", "reason", "turn", "score", "document_id"),
        Index(
            "ix_queue_items_doubtful", "label_id", "turn", "score", "document_id",
            postgresql_where=sql("reason = 'doubtful'"),
        ),
        Index(
            "ix_queue_items_low_fit", "label_id", "turn", "score", "document_id",
            postgresql_where=sql("reason = 'low_fit'"),
        ),
        Index("ix_queue_items_leased_to", "leased_to", postgresql_where=sql("leased_to IS NOT NULL")),
        Index("ix_queue_items_model_version_id", "model_version_id", "document_id"),
    )  # fmt: skip


class Review(Table):
    """What a person did with a document; append-only: a later row may supersede an earlier one."""

    __tablename__ = "reviews"

    id: Mapped[int] = row_id()
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), index=True)
    reviewer_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str]
    label_id: Mapped[int | None] = mapped_column(ForeignKey("labels.id"))
    shown_prediction: Mapped[dict[str, Any] | None]
    reason: Mapped[str]
    sampling_probability: Mapped[float | None] = mapped_column(REAL)
    seconds: Mapped[float | None] = mapped_column(REAL)
    note: Mapped[str | None]
    created_at: Mapped[datetime] = now()
    supersedes_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id"))
    proposed_label: Mapped[str | None] = mapped_column(comment="where none fits: a new label that would")
    lease_token: Mapped[int | None] = mapped_column(BigInteger, comment="of the desk; a lease gives one decision")
    selected_at: Mapped[datetime | None] = mapped_column(
        comment="since when the document waited for it; null: it did not wait at the desk"
    )

    __table_args__ = (
        CheckConstraint("action IN ('confirm', 'correct', 'skip', 'none_fits', 'undo')", name="action"),
        Index("ix_reviews_reviewer_id", "reviewer_id", "id"),
        Index("ix_reviews_label_id", "label_id", "document_id", postgresql_where=sql("label_id IS NOT NULL")),
        Index("ix_reviews_proposed_label", "id", postgresql_where=sql("proposed_label IS NOT NULL")),
        Index("uq_reviews_lease_token", "lease_token", unique=True, postgresql_where=sql("lease_token IS NOT NULL")),
        Index("ix_reviews_none_fits", "document_id", postgresql_where=sql("action = 'none_fits'")),
        Index("ix_reviews_supersedes_id", "supersedes_id", postgresql_where=sql("supersedes_id IS NOT NULL")),
        Index("ix_reviews_audited", "created_at", postgresql_where=sql("sampling_probability IS NOT NULL")),
        Index(
            "ix_reviews_created_at", "created_at", postgresql_using="brin", postgresql_with={"autosummarize": True}
        ),
        Index(
            "ix_reviews_again", "reason", "created_at", postgresql_where=sql("reason IN ('overlap', 'repeat')")
        ),
    )  # fmt: skip


class BulkDecision(Table):
    """Documents that a person decides at once: a preview, then the decision, perhaps its undo."""

    __tablename__ = "bulk_decisions"

    id: Mapped[int] = row_id(Integer)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    label_id: Mapped[int | None] = mapped_column(ForeignKey("labels.id"), comment="null: to each what was predicted")
    corrects_none_fits: Mapped[bool] = mapped_column(
        server_default=sql("false"), comment="whether documents that people decided 'none fits' are decided too"
    )
    filters: Mapped[dict[str, Any]] = mapped_column(comment="the query string that found them")
    document_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), comment="what was looked at, and no other")
    label_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer), comment="what each is given, in the same order")
    looked_at: Mapped[dict[str, Any]] = mapped_column(comment="how many were found, and why some are left out")
    created_at: Mapped[datetime] = now()
    decided_at: Mapped[datetime | None]
    review_ids: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    waited: Mapped[dict[str, Any] | None] = mapped_column(comment="why each waited, by document id; an undo needs it")
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
