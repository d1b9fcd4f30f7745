"""Keep of each prediction what share of its text the model can't read.

Postgres adds a column that may be null without touching a row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    comment = "of the characters that the model can't read, where it is over a tenth"
    op.add_column("predictions", sa.Column("unknown_share", sa.REAL(), nullable=True, comment=comment))


def downgrade() -> None:
    op.drop_column("predictions", "unknown_share")
