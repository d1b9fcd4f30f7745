"""Choices of a risk target, and which versions accepted without proof before there were such choices.

A version that people or the gate brought live goes on as it did, so that nothing floods the queue with the upgrade.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_MARK = """
UPDATE model_versions SET may_lack_proof = true
WHERE promoted_at IS NOT NULL AND coalesce(metrics->'guarantee'->>'proved', 'false') = 'false'
  AND coalesce(metrics->'guarantee'->'unproved'->>'used', 'false') = 'true'
"""


def upgrade() -> None:
    op.create_table(
        "risk_targets",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("target", sa.Double(), nullable=True, comment="null: as the setting says"),
        sa.Column("chosen_by", sa.Text(), nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("target > 0 AND target < 1", name="ck_risk_targets_target"),
        sa.PrimaryKeyConstraint("id", name="pk_risk_targets"),
    )
    op.add_column(
        "model_versions",
        sa.Column(
            "may_lack_proof", sa.Boolean(), server_default=sa.text("false"), nullable=False,
            comment="it accepted without proof before people could choose a risk target, and goes on",
        ),
    )  # fmt: skip
    op.execute(_MARK)


def downgrade() -> None:
    op.drop_column("model_versions", "may_lack_proof")
    op.drop_table("risk_targets")
