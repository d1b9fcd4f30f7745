"""Add the desk: who holds which document until when; turns, overlap and repeats; decisions that can't be doubled."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ROLES = "role IN ('import', {}'reviewer', 'lead', 'admin')"
_REASONS = "reason IN ('doubtful', 'audit', 'label_error', 'drift', 'flag'{})"
_TIME = sa.DateTime(timezone=True)
_ITEM_COLUMNS = (
    sa.Column("label_id", sa.Integer(), nullable=True, comment="the label predicted, or suggested"),
    sa.Column("note", sa.Text(), nullable=True, comment="what who put it here says of it"),
    sa.Column(
        "turn", sa.SmallInteger(), server_default=sa.text("0"), nullable=False,
        comment="before the score: how often it was put off",
    ),
    sa.Column("only_for", sa.Integer(), nullable=True, comment="the one user who may decide it"),
    sa.Column("not_for", sa.Integer(), nullable=True, comment="the one user who may not"),
    sa.Column("not_before", _TIME, nullable=True),
    sa.Column("leased_to", sa.Integer(), nullable=True, comment="a user"),
    sa.Column(
        "shown", postgresql.JSONB(astext_type=sa.Text()), nullable=True,
        comment="the prediction that the lease shows; null: hidden",
    ),
)  # fmt: skip


def upgrade() -> None:
    op.alter_column("labels", "description", comment="the guideline that reviewers read")
    op.add_column(
        "labels",
        sa.Column(
            "sensitive", sa.Boolean(), server_default=sa.text("false"), nullable=False,
            comment="texts are blurred until clicked",
        ),
    )  # fmt: skip
    _check("users", "role", _ROLES.format("'upstream', "))
    op.add_column(
        "reviews",
        sa.Column("proposed_label", sa.Text(), nullable=True, comment="where none fits: a new label that would"),
    )
    op.add_column(
        "reviews",
        sa.Column(
            "lease_token", sa.BigInteger(), nullable=True, comment="of the desk; a lease gives one decision"
        ),
    )  # fmt: skip
    op.create_index("ix_reviews_reviewer_id", "reviews", ["reviewer_id", "id"])
    op.create_index(
        "uq_reviews_lease_token", "reviews", ["lease_token"], unique=True,
        postgresql_where=sa.text("lease_token IS NOT NULL"),
    )  # fmt: skip
    op.execute("CREATE SEQUENCE lease_tokens")
    for column in _ITEM_COLUMNS:
        op.add_column("queue_items", column.copy())
    op.execute(
        "UPDATE queue_items SET label_id = predictions.label_id FROM predictions "
        "WHERE predictions.document_id = queue_items.document_id AND kind <> 'shadow' "
        "AND predictions.model_version_id = queue_items.model_version_id"
    )
    _check("queue_items", "reason", _REASONS.format(", 'overlap', 'repeat'"))
    op.drop_index("ix_queue_items_reason_score", table_name="queue_items")
    op.create_index("ix_queue_items_reason_turn", "queue_items", ["reason", "turn", "score", "document_id"])
    op.create_index(
        "ix_queue_items_doubtful", "queue_items", ["label_id", "turn", "score", "document_id"],
        postgresql_where=sa.text("reason = 'doubtful'"),
    )  # fmt: skip
    op.create_index(
        "ix_queue_items_leased_to", "queue_items", ["leased_to"], postgresql_where=sa.text("leased_to IS NOT NULL")
    )


def downgrade() -> None:
    op.execute("DELETE FROM queue_items WHERE reason IN ('overlap', 'repeat')")
    for name in ("leased_to", "doubtful", "reason_turn"):
        op.drop_index(f"ix_queue_items_{name}", table_name="queue_items")
    op.create_index("ix_queue_items_reason_score", "queue_items", ["reason", "score"])
    _check("queue_items", "reason", _REASONS.format(""))
    for column in _ITEM_COLUMNS:
        op.drop_column("queue_items", column.name)
    op.execute("DROP SEQUENCE lease_tokens")
    for name in ("uq_reviews_lease_token", "ix_reviews_reviewer_id"):
        op.drop_index(name, table_name="reviews")
    op.drop_column("reviews", "lease_token")
    op.drop_column("reviews", "proposed_label")
    op.execute("UPDATE users SET role = 'import' WHERE role = 'upstream'")
    _check("users", "role", _ROLES.format(""))
    op.drop_column("labels", "sensitive")
    op.alter_column("labels", "description", comment=None)


def _check(table: str, name: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)
