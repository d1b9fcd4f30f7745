"""Add webhooks with their waiting events, and the views that people read with SQL."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_STANDING = """
CREATE VIEW standing_decisions AS
SELECT DISTINCT ON (reviews.document_id) reviews.document_id, documents.source, documents.external_id AS id, action,
  labels.name AS label, users.name AS reviewer, reviews.reason, reviews.created_at AS decided_at
FROM reviews JOIN documents ON documents.id = reviews.document_id JOIN users ON users.id = reviews.reviewer_id
LEFT JOIN labels given ON given.id = reviews.label_id
LEFT JOIN labels ON labels.id = coalesce(given.merged_into_id, given.id)
WHERE action IN ('confirm', 'correct', 'none_fits')
  AND NOT EXISTS (SELECT FROM reviews later WHERE later.supersedes_id = reviews.id)
ORDER BY reviews.document_id, reviews.created_at DESC, reviews.id DESC
"""
_RESULTS = """
CREATE VIEW results AS
SELECT newest.source, newest.id, coalesce(standing.label, CASE WHEN standing.action IS NULL THEN predicted.label END)
    AS label,
  CASE WHEN standing.action IS NULL THEN 'classified' ELSE 'reviewed' END AS state,
  predicted.label AS predicted_label, predicted.confidence, predicted.decision, predicted.model_version_id
    AS model_version, predicted.created_at AS classified_at,
  standing.action AS review, standing.reviewer, standing.decided_at AS reviewed_at,
  newest.received_at, newest.meta, newest.document_id
FROM (
  SELECT DISTINCT ON (source, external_id) source, external_id AS id, documents.id AS document_id, received_at, meta
  FROM documents
  WHERE EXISTS (SELECT FROM predictions WHERE document_id = documents.id AND kind <> 'shadow')
     OR EXISTS (SELECT FROM reviews WHERE document_id = documents.id)
  ORDER BY source, external_id, entry_order(entry_id) DESC NULLS LAST, documents.id DESC
) newest
LEFT JOIN LATERAL (
  SELECT labels.name AS label, confidence, decision, model_version_id, predictions.created_at
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
_DEAD = """
CREATE VIEW dead_documents AS
SELECT id AS letter, source, external_id AS id, lane, reason, detail, attempts, created_at AS died_at
FROM dead_letters WHERE requeued_at IS NULL
"""


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False, comment="whsec_...; in the clear, because it signs"),
        sa.Column("previous_secret", sa.Text(), nullable=True),
        sa.Column("previous_until", _TIME, nullable=True, comment="until then the previous secret signs too"),
        sa.Column("sources", postgresql.ARRAY(sa.Text()), nullable=True, comment="null: all"),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("paused_at", _TIME, nullable=True),
        sa.Column("paused_because", sa.Text(), nullable=True),
        sa.Column(
            "failures", sa.Integer(), server_default=sa.text("0"), nullable=False,
            comment="rounds without a success, in a row",
        ),
        sa.Column("failing_since", _TIME, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_success_at", _TIME, nullable=True),
        sa.Column("retry_at", _TIME, server_default=_NOW, nullable=False, comment="not tried before"),
        sa.Column("held_until", _TIME, nullable=True, comment="by the process that sends to it now"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
        sa.UniqueConstraint("name", name=op.f("uq_webhooks_name")),
    )  # fmt: skip
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("webhook_id", sa.Integer(), nullable=False),
        sa.Column("document_id", sa.BigInteger(), nullable=True, comment="null: of a dead letter"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column(
            "event", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="the fields of the results stream"
        ),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("next_attempt_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("give_up_at", _TIME, nullable=True, comment="set by the first failure"),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'dead')", name=op.f("ck_webhook_deliveries_state")),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name=op.f("fk_webhook_deliveries_document_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(op.f("ix_webhook_deliveries_document_id"), "webhook_deliveries", ["document_id"])
    op.create_index(
        "ix_webhook_deliveries_waiting", "webhook_deliveries", ["webhook_id", "id"],
        postgresql_where=sa.text("state = 'waiting'"),
    )  # fmt: skip
    op.create_index(
        "ix_webhook_deliveries_ended", "webhook_deliveries", ["ended_at"],
        postgresql_where=sa.text("state <> 'waiting'"),
    )  # fmt: skip
    op.create_index(
        "ix_webhook_deliveries_document", "webhook_deliveries", ["source", "external_id", "webhook_id", "id"]
    )
    for view in (_STANDING, _RESULTS, _DEAD):
        op.execute(view)


def downgrade() -> None:
    for view in ("dead_documents", "results", "standing_decisions"):
        op.execute(f"DROP VIEW {view}")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
