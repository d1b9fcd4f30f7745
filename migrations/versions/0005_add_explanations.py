"""Add explanations: which words support a label."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "explanations",
        sa.Column("document_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model_version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("label_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column(
            "found", postgresql.JSONB(astext_type=sa.Text()), nullable=True,
            comment="words by their place in the text, as classifier.explain gives them",
        ),
        sa.Column("completeness_error", sa.REAL(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("asked_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name=op.f("ck_explanations_state")),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name=op.f("fk_explanations_document_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("document_id", "model_version_id", "label_id", name=op.f("pk_explanations")),
    )  # fmt: skip
    op.create_index(
        "ix_explanations_model_version_id_label_id", "explanations", ["model_version_id", "label_id", "document_id"]
    )
    op.create_index(
        "ix_explanations_waiting", "explanations", ["asked_at"], postgresql_where=sa.text("state = 'waiting'")
    )


def downgrade() -> None:
    op.drop_table("explanations")
