"""Add indexes to find documents by date, label and words; allow several documents to be decided at once."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_JSON = postgresql.JSONB(astext_type=sa.Text())
# The words of a longer text could exceed what Postgres can store of them. The function declares its measured cost: the
# planner takes to_tsvector for cheap, and would otherwise scan all texts where an index would do.
_WORDS = """
CREATE FUNCTION document_words(said text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 2000
AS $$ BEGIN RETURN to_tsvector('simple', left(said, 100000)); END $$
"""


def upgrade() -> None:
    op.drop_index("ix_documents_received_at", table_name="documents")
    op.create_index("ix_documents_received_at", "documents", ["received_at", "id"])
    op.execute(_WORDS)
    op.create_index("ix_documents_words", "documents", [sa.text("document_words(text)")], postgresql_using="gin")
    op.create_index("ix_predictions_label_id", "predictions", ["label_id", "document_id"])
    op.create_index("ix_outbox_document_id", "outbox", ["document_id"])
    op.create_table(
        "bulk_decisions",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=True, comment="null: to each what was predicted"),
        sa.Column("filters", _JSON, nullable=False, comment="the query string that found them"),
        sa.Column(
            "document_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False,
            comment="what was looked at, and no other",
        ),
        sa.Column(
            "label_ids", postgresql.ARRAY(sa.Integer()), nullable=False,
            comment="what each is given, in the same order",
        ),
        sa.Column("looked_at", _JSON, nullable=False, comment="how many were found, and why some are left out"),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_at", _TIME, nullable=True),
        sa.Column("review_ids", postgresql.ARRAY(sa.BigInteger()), nullable=True),
        sa.Column("waited", _JSON, nullable=True, comment="why each waited, by document id; an undo needs it"),
        sa.Column("undone_at", _TIME, nullable=True),
        sa.Column("undone_by", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["label_id"], ["labels.id"], name=op.f("fk_bulk_decisions_label_id")),
        sa.ForeignKeyConstraint(["undone_by"], ["users.id"], name=op.f("fk_bulk_decisions_undone_by")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_bulk_decisions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_decisions")),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_table("bulk_decisions")
    op.drop_index("ix_outbox_document_id", table_name="outbox")
    op.drop_index("ix_predictions_label_id", table_name="predictions")
    op.drop_index("ix_documents_words", table_name="documents")
    op.execute("DROP FUNCTION document_words(text)")
    op.drop_index("ix_documents_received_at", table_name="documents")
    op.create_index("ix_documents_received_at", "documents", ["received_at"], postgresql_using="brin")
