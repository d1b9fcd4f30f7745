"""Store for each prediction the share of its text that the model can't read.

Postgres adds a nullable column without rewriting any row.
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
