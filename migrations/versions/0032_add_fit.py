"""The probability that a document belongs to one of the labels, beside each prediction."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "predictions",
        sa.Column(
            "fit", sa.REAL(), nullable=True,
            comment="probability that the document belongs to one of the labels; null: the model gives none",
        ),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_column("predictions", "fit")
