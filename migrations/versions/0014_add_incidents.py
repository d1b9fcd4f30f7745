"""Add incidents, and the reference that drift is measured against."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "drift_references",
        sa.Column("model_version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "training_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False,
            comment="documents it was trained on, a sample",
        ),
        sa.Column(
            "document_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False, comment="held-out documents, a sample"
        ),
        sa.Column("label_ids", postgresql.ARRAY(sa.Integer()), nullable=False, comment="predicted, of document_ids"),
        sa.Column("confidences", postgresql.ARRAY(sa.REAL()), nullable=False, comment="of document_ids"),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["model_versions.id"],
            name=op.f("fk_drift_references_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("model_version_id", name=op.f("pk_drift_references")),
    )  # fmt: skip
    op.create_table(
        "drift_looks",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("began_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("failed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("said", sa.Text(), nullable=True, comment="what came of it, for people"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_looks")),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model_version_id", sa.Integer(), nullable=True),
        sa.Column(
            "statistic", sa.REAL(), nullable=False, comment="of drift: by how much a share moved, beyond doubt"
        ),
        sa.Column(
            "evidence", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("opened_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_at", _TIME, nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("closed_because", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["model_versions.id"], name=op.f("fk_incidents_model_version_id_model_versions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )  # fmt: skip
    op.create_index(
        "uq_incidents_open", "incidents", ["kind"], unique=True, postgresql_where=sa.text("closed_at IS NULL")
    )


def downgrade() -> None:
    op.drop_table("incidents")
    op.drop_table("drift_looks")
    op.drop_table("drift_references")
