"""An explanation is of the revision of a model version's last layer that answered."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_KEY = ["document_id", "model_version_id", "label_id", "form"]


def upgrade() -> None:
    # Those that were computed so far are of the checkpoint's own layer, whatever answered.
    op.add_column(
        "explanations",
        sa.Column(
            "revision", sa.Integer(), server_default=sa.text("0"), nullable=False,
            comment="of the version's last layer, the one that is explained; 0: the checkpoint's own layer",
        ),
    )  # fmt: skip
    op.drop_constraint("pk_explanations", "explanations", type_="primary")
    op.create_primary_key("pk_explanations", "explanations", [*_KEY, "revision"])


def downgrade() -> None:
    op.execute("DELETE FROM explanations WHERE revision <> 0")
    op.drop_constraint("pk_explanations", "explanations", type_="primary")
    op.create_primary_key("pk_explanations", "explanations", _KEY)
    op.drop_column("explanations", "revision")
