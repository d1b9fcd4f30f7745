"""Low fit is a reason of its own to wait for a person, and the view of results has the fit.

The column comes last, so that the view is replaced and keeps the rights that were granted on it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_REASONS = "'doubtful', 'audit', 'label_error', 'drift', 'flag', 'overlap', 'repeat', 'shadow', 'unpredicted'"
_SCORE = "least first: the margin of the likeliest two labels{}, or the quality of a label in doubt"
_RESULTS = """
CREATE OR REPLACE VIEW results AS
SELECT newest.source, newest.id, coalesce(standing.label, CASE WHEN standing.action IS NULL THEN predicted.label END)
    AS label,
  CASE WHEN standing.action IS NULL THEN 'classified' ELSE 'reviewed' END AS state,
  predicted.label AS predicted_label, predicted.confidence, predicted.decision, predicted.model_version_id
    AS model_version, predicted.created_at AS classified_at,
  standing.action AS review, standing.reviewer, standing.decided_at AS reviewed_at,
  newest.received_at, newest.meta, newest.document_id{fit}
FROM (
  SELECT DISTINCT ON (source, external_id) source, external_id AS id, documents.id AS document_id, received_at, meta
  FROM documents
  WHERE EXISTS (SELECT FROM predictions WHERE document_id = documents.id AND kind <> 'shadow')
     OR EXISTS (SELECT FROM reviews WHERE document_id = documents.id)
  ORDER BY source, external_id, entry_order(entry_id) DESC NULLS LAST, documents.id DESC
) newest
LEFT JOIN LATERAL (
  SELECT labels.name AS label, confidence, decision, model_version_id, predictions.created_at{inner}
  FROM predictions JOIN labels ON labels.id = label_id
  WHERE document_id = newest.document_id AND kind <> 'shadow'
  ORDER BY predictions.created_at DESC, model_version_id DESC LIMIT 1
) predicted ON true
LEFT JOIN LATERAL (
  SELECT action, labels.name AS label, users.name AS reviewer, reviews.created_at AS decided_at
  FROM reviews JOIN users ON users.id = reviewer_id LEFT JOIN labels given ON given.id = label_id
  LEFT JOIN labels ON labels.id = coalesce(given.merged_into_id, given.id)
  WHERE document_id = newest.document_id AND action IN ('confirm', 'correct', 'none_fits')
    AND NOT EXISTS (SELECT FROM reviews later WHERE later.supersedes_id = reviews.id)
  ORDER BY reviews.created_at DESC, reviews.id DESC LIMIT 1
) standing ON true
WHERE predicted.label IS NOT NULL OR standing.action IS NOT NULL
"""


def upgrade() -> None:
    _allow(f"{_REASONS}, 'low_fit'")
    op.alter_column("queue_items", "score", comment=_SCORE.format(", the fit"))
    op.create_index(
        "ix_queue_items_low_fit", "queue_items", ["label_id", "turn", "score", "document_id"],
        postgresql_where=sa.text("reason = 'low_fit'"),
    )  # fmt: skip
    op.execute(_RESULTS.format(fit=", predicted.fit", inner=", predictions.fit"))


def downgrade() -> None:
    op.execute("DROP VIEW results")
    op.execute(_RESULTS.format(fit="", inner=""))
    op.drop_index("ix_queue_items_low_fit", table_name="queue_items")
    op.alter_column("queue_items", "score", comment=_SCORE.format(""))
    op.execute("UPDATE queue_items SET reason = 'doubtful' WHERE reason = 'low_fit'")
    _allow(_REASONS)


def _allow(reasons: str) -> None:
    op.drop_constraint(op.f("ck_queue_items_reason"), "queue_items")
    op.create_check_constraint(op.f("ck_queue_items_reason"), "queue_items", f"reason IN ({reasons})")
