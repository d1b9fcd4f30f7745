"""Add the forms of model versions, and which form predicted.

Each existing version gets one form, the one that it serves. Whether older predictions came from another one is not
known, so theirs stay empty; Postgres adds nullable columns without rewriting any row.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# The engine that served, where it was an int8 form, and what its gate found, are figures of the version.
_SERVED = "CASE WHEN metrics->>'engine' = 'openvino-int8' THEN 'int8' ELSE 'whole' END"


def upgrade() -> None:
    op.create_table(
        "model_forms",
        sa.Column("model_version_id", sa.Integer(), sa.ForeignKey("model_versions.id"), primary_key=True,
                  autoincrement=False),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("uri", sa.Text(), comment="of its checkpoint; null: it could not be made"),
        sa.Column("sha256", sa.Text(), comment="of its checkpoint's sortline.json, which names all files"),
        sa.Column("state", sa.Text(), nullable=False, comment="what is known of it against the whole model"),
        sa.Column("figures", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("name IN ('whole', 'int8', 'student', 'student-int8')", name="name"),
        sa.CheckConstraint("state IN ('proved', 'unproved', 'refused', 'missing')", name="state"),
        sa.CheckConstraint("state = 'missing' OR (uri IS NOT NULL AND sha256 IS NOT NULL)", name="sealed"),
    )  # fmt: skip
    op.add_column(
        "model_versions",
        sa.Column("form", sa.Text(), server_default="whole", nullable=False,
                  comment="the name of the form that serves"),
    )  # fmt: skip
    op.execute(f"UPDATE model_versions SET form = {_SERVED}")  # noqa: S608 - of constants alone
    op.execute("""
        INSERT INTO model_forms (model_version_id, name, uri, sha256, state, created_at)
        SELECT id, form, checkpoint_uri, sha256, 'proved', created_at FROM model_versions
    """)
    op.add_column(
        "predictions",
        sa.Column("form", sa.Text(), comment="of the model version, the one that predicted; null: made before forms "
                  "were noted"),
    )  # fmt: skip
    op.add_column("drift_references", sa.Column("form", sa.Text(), server_default="whole", nullable=False))
    op.execute("""
        UPDATE drift_references SET form = model_versions.form
        FROM model_versions WHERE model_versions.id = model_version_id
    """)
    op.drop_constraint("pk_drift_references", "drift_references")
    op.create_primary_key("pk_drift_references", "drift_references", ["model_version_id", "form"])


def downgrade() -> None:
    op.drop_constraint("pk_drift_references", "drift_references")
    op.execute("""
        DELETE FROM drift_references USING model_versions
        WHERE model_versions.id = model_version_id AND model_versions.form <> drift_references.form
    """)
    op.create_primary_key("pk_drift_references", "drift_references", ["model_version_id"])
    op.drop_column("drift_references", "form")
    op.drop_column("predictions", "form")
    op.drop_column("model_versions", "form")
    op.drop_table("model_forms")
