"""Who has hidden the list of first steps."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column(
            "hides_first_steps", sa.Boolean(), server_default=sa.text("false"), nullable=False,
            comment="whether they no longer want the list of first steps after signing in",
        ),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_column("users", "hides_first_steps")
