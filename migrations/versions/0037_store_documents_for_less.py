"""Store documents for less: they come in binary form (docs/decisions/0038-own-work.md)."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

# What a worker stores of a classified document, as db/incoming_documents.py sends it. A worker of the next version may
# need other columns: it takes a new type, so that workers of this one can go on.
_TYPE = """
CREATE TYPE incoming_document AS (
  lane text, form text, source text, id text, hash bytea, text text, entry_id text, meta jsonb,
  version integer, revision integer, label integer, confidence real, fit real, margin real, first integer,
  labels integer, accepted boolean, repaired boolean, truncated boolean, windows smallint, unknown_share real,
  encoder integer, vector integer, chance double precision)
"""


def upgrade() -> None:
    op.execute(_TYPE)


def downgrade() -> None:
    op.execute("DROP TYPE incoming_document")
