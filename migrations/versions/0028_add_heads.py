"""Heads fitted anew between two versions: revisions of a model version."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_heads",
        sa.Column("model_version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("encoder_id", sa.Integer(), nullable=False, comment="of the vectors that it reads"),
        sa.Column("weights", sa.LargeBinary(), comment="(labels, d + 1) float32, little-endian, the bias last; "
                  "null: no longer kept"),
        sa.Column("temperature", sa.REAL(), nullable=False),
        sa.Column("figures", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("model_version_id", "revision", name=op.f("pk_model_heads")),
        sa.ForeignKeyConstraint(["model_version_id"], ["model_versions.id"],
                                name=op.f("fk_model_heads_model_version_id")),
    )  # fmt: skip
    op.add_column("model_forms", sa.Column("encoder_id", sa.Integer(), comment="of its vectors; null: not loaded yet"))
    op.add_column(
        "predictions",
        sa.Column("revision", sa.Integer(), comment="of the model version's head; null: the checkpoint's own"),
    )


def downgrade() -> None:
    op.drop_column("predictions", "revision")
    op.drop_column("model_forms", "encoder_id")
    op.drop_table("model_heads")
