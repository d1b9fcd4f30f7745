"""Store the checksum of each report's page.

Postgres adds a nullable column without rewriting any row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    comment = "of the page of its training's report; null: made before there were such checksums, or there is none"
    op.add_column("model_versions", sa.Column("report_sha256", sa.Text(), nullable=True, comment=comment))


def downgrade() -> None:
    op.drop_column("model_versions", "report_sha256")
