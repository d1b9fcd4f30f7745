"""Topics: what is undecided, grouped by likeness."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "groupings",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("asked_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("documents", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="that were grouped"),
        sa.Column(
            "waiting", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="that were undecided then"
        ),
        sa.Column("without_vector", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groupings")),
    )
    op.create_table(
        "topics",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("grouping_id", sa.Integer(), nullable=False),
        sa.Column("words", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False, comment="documents, when they were grouped"),
        sa.Column("copies", sa.Boolean(), nullable=False, comment="whether all are copies of one text"),
        sa.Column("aside_at", _TIME, nullable=True, comment="since when people put it aside"),
        sa.ForeignKeyConstraint(["grouping_id"], ["groupings.id"], name=op.f("fk_topics_grouping_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topics")),
    )
    op.create_index("ix_topics_grouping_id", "topics", ["grouping_id"])
    op.create_table(
        "topic_documents",
        sa.Column("document_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("topic_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=op.f("fk_topic_documents_document_id")),
        sa.ForeignKeyConstraint(["topic_id"], ["topics.id"], name=op.f("fk_topic_documents_topic_id")),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_topic_documents")),
    )
    op.create_index("ix_topic_documents_topic_id", "topic_documents", ["topic_id", "place"])


def downgrade() -> None:
    for table in ("topic_documents", "topics", "groupings"):
        op.drop_table(table)
