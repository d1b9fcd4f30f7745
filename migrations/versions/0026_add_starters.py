"""Starters: model versions made from labels' names and the first decisions, which only suggest."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "model_versions",
        sa.Column(
            "starter", sa.Boolean(), server_default=sa.text("false"), nullable=False,
            comment="made from names, guidelines, examples and decisions; it suggests and accepts nothing",
        ),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_column("model_versions", "starter")
