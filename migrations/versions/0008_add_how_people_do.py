"""Add what the page on people's work needs: since when a decided document had waited, and reviews by time."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "reviews",
        sa.Column(
            "selected_at", sa.DateTime(timezone=True), nullable=True,
            comment="since when the document waited for it; null: it did not wait at the desk",
        ),
    )  # fmt: skip
    op.create_index("ix_reviews_created_at", "reviews", ["created_at"], postgresql_using="brin")
    op.create_index(
        "ix_reviews_again", "reviews", ["reason", "created_at"],
        postgresql_where=sa.text("reason IN ('overlap', 'repeat')"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_reviews_again", table_name="reviews")
    op.drop_index("ix_reviews_created_at", table_name="reviews")
    op.drop_column("reviews", "selected_at")
