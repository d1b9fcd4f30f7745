"""Store documents before there is a model, and give labels examples.

Every stored document whose first prediction is still to be made has a row in `unpredicted`. Documents stored so far
have their prediction or were imported, and imported ones never wait for one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_REASONS = "'doubtful', 'audit', 'label_error', 'drift', 'flag', 'overlap', 'repeat', 'shadow'"


def upgrade() -> None:
    op.create_table(
        "unpredicted",
        sa.Column("document_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("0"), nullable=False,
                  comment="how often a worker has begun to predict it"),
        sa.Column("taken_until", sa.DateTime(timezone=True),
                  comment="until when a worker has it; null: no worker has had it"),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_unpredicted")),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=op.f("fk_unpredicted_document_id")),
    )  # fmt: skip
    _allow(f"{_REASONS}, 'unpredicted'")
    op.create_table(
        "label_examples",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_examples")),
        sa.ForeignKeyConstraint(["label_id"], ["labels.id"], name=op.f("fk_label_examples_label_id")),
    )
    op.create_index("ix_label_examples_label_id", "label_examples", ["label_id", "id"])


def downgrade() -> None:
    op.drop_table("label_examples")
    op.execute("UPDATE queue_items SET reason = 'doubtful' WHERE reason = 'unpredicted'")
    _allow(_REASONS)
    op.drop_table("unpredicted")


def _allow(reasons: str) -> None:
    op.drop_constraint(op.f("ck_queue_items_reason"), "queue_items")
    op.create_check_constraint(op.f("ck_queue_items_reason"), "queue_items", f"reason IN ({reasons})")
