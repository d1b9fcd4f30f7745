"""Summarise predictions by time as they arrive, so that the last minute is found without reading the last million.

It only changes settings of indexes: nothing is rewritten, and nobody waits.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_INDEXES = ("ix_predictions_created_at", "ix_reviews_created_at")


def upgrade() -> None:
    for index in _INDEXES:
        op.execute(f"ALTER INDEX {index} SET (autosummarize = on)")


def downgrade() -> None:
    for index in _INDEXES:
        op.execute(f"ALTER INDEX {index} RESET (autosummarize)")
