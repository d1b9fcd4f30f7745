"""Draw documents on which a form and its model differ, for people to decide."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "form_draws",
        sa.Column("model_version_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="of the form"),
        sa.Column("document_id", sa.BigInteger(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False, comment="what the whole model answers"),
        sa.Column("form_label_id", sa.Integer(), nullable=False, comment="what the form answers"),
        sa.Column("drawn_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id", "name"], ["model_forms.model_version_id", "model_forms.name"],
            name=op.f("fk_form_draws_model_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name=op.f("fk_form_draws_document_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_version_id", "name", "document_id", name=op.f("pk_form_draws")),
    )  # fmt: skip
    op.create_index(op.f("ix_form_draws_document_id"), "form_draws", ["document_id"])


def downgrade() -> None:
    op.drop_table("form_draws")
