"""Merge labels, find decisions by label and dead letters by reason, keep a file until it is imported."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "labels",
        sa.Column("merged_into_id", sa.Integer(), nullable=True, comment="whose decisions count as that label's"),
    )
    op.create_foreign_key(op.f("fk_labels_merged_into_id"), "labels", "labels", ["merged_into_id"], ["id"])
    op.create_index(
        "ix_reviews_label_id", "reviews", ["label_id", "document_id"], postgresql_where=sa.text("label_id IS NOT NULL")
    )
    op.create_index(
        "ix_reviews_proposed_label", "reviews", ["id"], postgresql_where=sa.text("proposed_label IS NOT NULL")
    )
    op.create_index(
        "ix_dead_letters_reason", "dead_letters", ["reason", "id"], postgresql_where=sa.text("requeued_at IS NULL")
    )
    op.create_table(
        "import_files",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False, comment="sha256 of what the preview's form carries"),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_import_files_user_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_import_files")),
    )
    op.create_index(op.f("ix_import_files_user_id"), "import_files", ["user_id"])


def downgrade() -> None:
    op.drop_table("import_files")
    op.drop_index("ix_dead_letters_reason", table_name="dead_letters")
    op.drop_index("ix_reviews_proposed_label", table_name="reviews")
    op.drop_index("ix_reviews_label_id", table_name="reviews")
    op.drop_constraint(op.f("fk_labels_merged_into_id"), "labels")
    op.drop_column("labels", "merged_into_id")
