"""Tell forms of a model version apart in explanations, in the counts of answers and in checks of live accuracy.

All explanations that exist were computed from the whole model's weights. Answers are counted again from the first day
on which their form was noted; the counts of older days have no form, and so have answers that older workers still give.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_EXPLANATIONS, _COUNTS = "pk_explanations", "pk_answer_counts"
_BY_LABEL = ["day", "model_version_id", "label_id", "decision"]
# The last counted day too, because housekeeping counts it again, by form.
_NOTED_FROM = sa.text("""
SELECT least(CAST(min(created_at) AT TIME ZONE 'UTC' AS date), (SELECT max(day) FROM answer_counts))
FROM predictions WHERE form IS NOT NULL
""")
_FORGET = sa.text("DELETE FROM answer_counts WHERE day >= :since")
_COUNT = sa.text("""
INSERT INTO answer_counts (day, model_version_id, form, label_id, decision, documents, confidence)
SELECT CAST(created_at AT TIME ZONE 'UTC' AS date) AS counted, model_version_id, coalesce(form, ''), label_id, decision,
  count(*), sum(CAST(confidence AS float8))
FROM predictions
WHERE kind = 'live' AND created_at >= CAST(:since AS timestamp) AT TIME ZONE 'UTC' AND NOT EXISTS (
  SELECT FROM reviews
  WHERE reviews.document_id = predictions.document_id AND reviews.created_at < predictions.created_at)
GROUP BY counted, model_version_id, coalesce(form, ''), label_id, decision
""")
_ADD_UP = """
WITH apart AS (DELETE FROM answer_counts RETURNING *)
INSERT INTO answer_counts (day, model_version_id, form, label_id, decision, documents, confidence)
SELECT day, model_version_id, '', label_id, decision, sum(documents), sum(confidence) FROM apart
GROUP BY day, model_version_id, label_id, decision
"""


def upgrade() -> None:
    _add_form("explanations", "whole", "of the model version, the one that is explained")
    _replace_key(_EXPLANATIONS, "explanations", ["document_id", "model_version_id", "label_id", "form"])
    _add_form("answer_counts", "", "of the model version, the one that answered; empty: not noted")
    op.drop_constraint(_COUNTS, "answer_counts")
    _count_again()
    op.create_primary_key(_COUNTS, "answer_counts", [*_BY_LABEL, "form"])
    op.add_column(
        "accuracy_looks",
        sa.Column(
            "forms", JSONB(), server_default=sa.text("'{}'"), nullable=False,
            comment="the same figures of each form that answered",
        ),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_column("accuracy_looks", "forms")
    op.drop_constraint(_COUNTS, "answer_counts")
    op.execute(_ADD_UP)
    op.create_primary_key(_COUNTS, "answer_counts", _BY_LABEL)
    op.drop_column("answer_counts", "form")
    # They would be shown as the whole model's.
    op.execute("DELETE FROM explanations WHERE form <> 'whole'")
    _replace_key(_EXPLANATIONS, "explanations", ["document_id", "model_version_id", "label_id"])
    op.drop_column("explanations", "form")


def _count_again() -> None:
    """Count by form what was answered since forms are noted."""
    connection = op.get_bind()
    since = connection.scalar(_NOTED_FROM)
    if since is not None:
        connection.execute(_FORGET, {"since": since})
        connection.execute(_COUNT, {"since": since})


def _add_form(table: str, before: str, comment: str) -> None:
    """Add the column to a table, with a value for the rows that exist."""
    op.add_column(table, sa.Column("form", sa.Text(), server_default=before, nullable=False, comment=comment))
    op.alter_column(table, "form", server_default=None)


def _replace_key(name: str, table: str, columns: list[str]) -> None:
    op.drop_constraint(name, table)
    op.create_primary_key(name, table, columns)
