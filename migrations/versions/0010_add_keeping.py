"""Add erasure and retention: what was erased, how long labels' documents are kept; no texts in statistics."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
# ANALYZE would store samples of them in pg_statistic, which erasure does not search; no query filters by them.
_UNSAMPLED = {
    "documents": ("text", "meta"),
    "reviews": ("note", "proposed_label"),
    "queue_items": ("note",),
    "dead_letters": ("detail", "raw"),
    "outbox": ("event",),
    "explanations": ("found",),
}


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column(
            "name_hash", sa.LargeBinary(), nullable=False,
            comment="sha256 of source and id, the source's length before them",
        ),
        sa.Column("erased_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "before", postgresql.JSONB(astext_type=sa.Text()), nullable=False,
            comment="the last entry id of live, bulk and results then",
        ),
        sa.Column("swept_at", _TIME, nullable=True, comment="when streams and reports were found clear of it"),
        sa.PrimaryKeyConstraint("name_hash", name=op.f("pk_erasures")),
    )  # fmt: skip
    op.create_index("ix_erasures_unswept", "erasures", ["erased_at"], postgresql_where=sa.text("swept_at IS NULL"))
    op.create_table(
        "erased_counts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("month", sa.Date(), nullable=False, comment="in which they were received"),
        sa.Column("label_id", sa.Integer(), nullable=True, comment="what was said of them last; null: nothing"),
        sa.Column("split", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False, comment="request or retention"),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("predictions", sa.BigInteger(), nullable=False),
        sa.Column("reviews", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("reason IN ('request', 'retention')", name=op.f("ck_erased_counts_reason")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erased_counts")),
        sa.UniqueConstraint(
            "month", "label_id", "split", "reason", name=op.f("uq_erased_counts_month_label_id_split_reason"),
            postgresql_nulls_not_distinct=True,
        ),
    )  # fmt: skip
    op.add_column(
        "labels",
        sa.Column(
            "retention_days", sa.Integer(), nullable=True,
            comment="how long its documents are kept; 0: for ever; null: as the setting says",
        ),
    )  # fmt: skip
    op.create_check_constraint(op.f("ck_labels_retention_days"), "labels", "retention_days >= 0")
    _set_statistics(0)


def downgrade() -> None:
    _set_statistics(-1)
    op.drop_column("labels", "retention_days")
    op.drop_table("erased_counts")
    op.drop_table("erasures")


def _set_statistics(target: int) -> None:
    for table, columns in _UNSAMPLED.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS {target}")
    op.execute(f"ALTER INDEX ix_documents_words ALTER COLUMN 1 SET STATISTICS {target}")
