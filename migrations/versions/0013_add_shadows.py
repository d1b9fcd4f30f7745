"""Add shadows: versions that run in the shadow of the active one, and the queue's reason for disagreements."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0010"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_REASONS = "'doubtful', 'audit', 'label_error', 'drift', 'flag', 'overlap', 'repeat'"


def upgrade() -> None:
    op.create_table(
        "shadows",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("model_version_id", sa.Integer(), nullable=False),
        sa.Column("share", sa.REAL(), nullable=False, comment="of the documents that are classified meanwhile"),
        sa.Column("started_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("ended_because", sa.Text(), nullable=True),
        sa.Column("looked_to", sa.BigInteger(), nullable=False, comment="the last document that was gone past"),
        sa.Column("trouble", sa.Text(), nullable=True, comment="why it does not answer"),
        sa.Column("held_by", sa.Text(), nullable=True, comment="the worker that is at it"),
        sa.Column("held_until", _TIME, nullable=True),
        sa.CheckConstraint("share > 0 AND share <= 1", name=op.f("ck_shadows_share")),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["model_versions.id"], name=op.f("fk_shadows_model_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadows")),
    )  # fmt: skip
    op.create_index(
        "uq_shadows_open", "shadows", [sa.text("(true)")], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index(
        "ix_predictions_shadow", "predictions", ["model_version_id", "document_id"],
        postgresql_where=sa.text("kind = 'shadow'"),
    )  # fmt: skip
    _allow(f"{_REASONS}, 'shadow'")


def downgrade() -> None:
    op.execute("DELETE FROM queue_items WHERE reason = 'shadow'")
    _allow(_REASONS)
    op.drop_index("ix_predictions_shadow", table_name="predictions")
    op.drop_table("shadows")


def _allow(reasons: str) -> None:
    op.drop_constraint(op.f("ck_queue_items_reason"), "queue_items")
    op.create_check_constraint(op.f("ck_queue_items_reason"), "queue_items", f"reason IN ({reasons})")
