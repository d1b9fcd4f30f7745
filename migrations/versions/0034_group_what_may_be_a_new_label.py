"""What may be a new label, grouped by likeness; and requests to decide again what waits."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column(
        "groupings",
        sa.Column("kind", sa.Text(), server_default=sa.text("'undecided'"), nullable=False),
    )
    op.create_check_constraint(op.f("ck_groupings_kind"), "groupings", "kind IN ('undecided', 'new_label')")
    # A document may be in a topic of each kind.
    op.drop_constraint("pk_topic_documents", "topic_documents", type_="primary")
    op.create_primary_key("pk_topic_documents", "topic_documents", ["document_id", "topic_id"])
    op.create_index(
        "ix_reviews_none_fits", "reviews", ["document_id"], postgresql_where=sa.text("action = 'none_fits'")
    )
    op.add_column(
        "bulk_decisions",
        sa.Column(
            "corrects_none_fits", sa.Boolean(), server_default=sa.text("false"), nullable=False,
            comment="whether documents that people decided 'none fits' are decided too",
        ),
    )  # fmt: skip
    op.create_table(
        "redecisions",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("asked_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redecisions")),
    )


def downgrade() -> None:
    op.drop_table("redecisions")
    op.drop_column("bulk_decisions", "corrects_none_fits")
    op.drop_index("ix_reviews_none_fits", "reviews")
    op.execute(
        "DELETE FROM topic_documents USING topics JOIN groupings ON groupings.id = grouping_id "
        "WHERE topics.id = topic_id AND kind = 'new_label'"
    )
    op.execute("DELETE FROM topics USING groupings WHERE groupings.id = grouping_id AND kind = 'new_label'")
    op.execute("DELETE FROM groupings WHERE kind = 'new_label'")
    op.drop_constraint("pk_topic_documents", "topic_documents", type_="primary")
    op.create_primary_key("pk_topic_documents", "topic_documents", ["document_id"])
    op.drop_constraint(op.f("ck_groupings_kind"), "groupings", type_="check")
    op.drop_column("groupings", "kind")
