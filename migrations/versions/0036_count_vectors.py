"""Vectors go round their ring in the order in which they are stored, because not every document's is."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE embeddings_ring")
    # It goes on where the ring is: the place of a vector followed from its document's number before.
    op.execute("SELECT setval('embeddings_ring', greatest((SELECT max(id) FROM documents), 1))")


def downgrade() -> None:
    op.execute("DROP SEQUENCE embeddings_ring")
