"""Count answers by day, record accuracy daily, find audits by time, give waiting audits a random order."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answer_counts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model_version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("label_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("decision", sa.Text(), nullable=False, comment="accept or review"),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False, comment="the sum of theirs"),
        sa.PrimaryKeyConstraint("day", "model_version_id", "label_id", "decision", name=op.f("pk_answer_counts")),
    )
    op.create_table(
        "accuracy_looks",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model_version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.Column("drawn", sa.Integer(), nullable=False),
        sa.Column("decided", sa.Integer(), nullable=False, comment="of those drawn"),
        sa.Column("accuracy", sa.Double(), nullable=True, comment="null: nothing was decided"),
        sa.Column("low", sa.Double(), nullable=False, comment="of the 95 % interval"),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("expected", sa.Double(), nullable=True, comment="the mean confidence; null: nothing was answered"),
        sa.Column("alarm", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("day", "model_version_id", name=op.f("pk_accuracy_looks")),
    )
    op.create_index(
        "ix_reviews_audited", "reviews", ["created_at"], postgresql_where=sa.text("sampling_probability IS NOT NULL")
    )
    # They came least confident first, so those decided were not a fair sample of those drawn.
    op.execute("UPDATE queue_items SET score = random() WHERE reason = 'audit'")


def downgrade() -> None:
    op.drop_index("ix_reviews_audited", table_name="reviews")
    op.drop_table("accuracy_looks")
    op.drop_table("answer_counts")
