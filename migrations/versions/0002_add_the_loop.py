"""Add what the loop needs: a calibration split, the review queue, a snapshot's decisions, the outbox, tuning."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SPLITS = "split IN ('train', 'validation', {}'test', 'left_out')"
_NOW = sa.text("now()")


def upgrade() -> None:
    _set_splits(_SPLITS.format("'calibration', "))
    op.create_index(
        "ix_reviews_supersedes_id", "reviews", ["supersedes_id"],
        postgresql_where=sa.text("supersedes_id IS NOT NULL"),
    )  # fmt: skip
    op.add_column(
        "training_runs",
        sa.Column(
            "attempts",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="processes that took it up",
        ),
    )
    op.add_column(
        "training_runs",
        sa.Column("newest_review_id", sa.BigInteger(), nullable=True, comment="the newest decision when it was frozen"),
    )
    _create_queue()
    op.create_table(
        "snapshot_reviews",
        sa.Column("snapshot_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("review_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name=op.f("fk_snapshot_reviews_snapshot_id")),
        sa.PrimaryKeyConstraint("snapshot_id", "review_id", name=op.f("pk_snapshot_reviews")),
    )
    op.create_index(op.f("ix_snapshot_reviews_review_id"), "snapshot_reviews", ["review_id"])
    op.create_table(
        "tuned_parameters",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("macro_f1", sa.REAL(), nullable=False, comment="on validation"),
        sa.Column(
            "untuned_macro_f1",
            sa.REAL(),
            nullable=False,
            comment="of what was used before, on the same documents",
        ),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("report_uri", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuned_parameters")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("document_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "event",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the fields of the results stream",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=op.f("fk_outbox_document_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_unsent", "outbox", ["id"], postgresql_where=sa.text("sent_at IS NULL"))


def downgrade() -> None:
    op.drop_table("outbox")
    op.drop_table("tuned_parameters")
    op.drop_table("snapshot_reviews")
    op.drop_table("queue_items")
    op.drop_column("training_runs", "newest_review_id")
    op.drop_column("training_runs", "attempts")
    op.drop_index("ix_reviews_supersedes_id", table_name="reviews")
    op.execute("UPDATE document_splits SET split = 'left_out' WHERE split = 'calibration'")
    _set_splits(_SPLITS.format(""))


def _set_splits(condition: str) -> None:
    op.drop_constraint(op.f("ck_document_splits_split"), "document_splits")
    op.create_check_constraint(op.f("ck_document_splits_split"), "document_splits", condition)


def _create_queue() -> None:
    """Create the table and fill it with what waits already: predictions that nobody has decided."""
    op.create_table(
        "queue_items",
        sa.Column("document_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "score",
            sa.REAL(),
            nullable=False,
            comment="least first: the margin of the likeliest two labels, or the quality of a label in doubt",
        ),
        sa.Column(
            "model_version_id",
            sa.Integer(),
            nullable=True,
            comment="the version whose prediction the score is of; null: a label in doubt, no prediction",
        ),
        sa.Column("sampling_probability", sa.REAL(), nullable=True),
        sa.Column("selected_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("lease_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "reason IN ('doubtful', 'audit', 'label_error', 'drift', 'flag')", name=op.f("ck_queue_items_reason")
        ),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=op.f("fk_queue_items_document_id")),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_queue_items")),
    )
    op.create_index("ix_queue_items_reason_score", "queue_items", ["reason", "score"])
    op.create_index("ix_queue_items_model_version_id", "queue_items", ["model_version_id", "document_id"])
    op.execute(
        "INSERT INTO queue_items (document_id, reason, model_version_id, score) "
        "SELECT document_id, 'doubtful', model_version_id, 2 * confidence - coalesce(("
        "  SELECT sum(p) FROM (SELECT p FROM unnest(probabilities) p ORDER BY p DESC LIMIT 2) two), confidence) "
        "FROM predictions WHERE kind = 'live' AND decision = 'review' "
        "AND NOT EXISTS (SELECT FROM reviews WHERE reviews.document_id = predictions.document_id) "
        "ON CONFLICT DO NOTHING"
    )
