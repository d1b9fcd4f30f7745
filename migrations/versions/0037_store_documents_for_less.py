"""Store documents for less: they come in binary form, and fewer things are looked up and compressed for each.

Nothing here reads or rewrites a table. Predictions lose their foreign key to documents, which cost a look-up and a lock
for each of them; whoever adds one holds its document (docs/decisions/0038-own-work.md).
"""

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


# What a statement stored is one row, unless it is over a megabyte of text: only then are running sums needed.
_NOTE = """
CREATE OR REPLACE FUNCTION note_unindexed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO search_pending (document_ids, documents, bytes)
  SELECT array_agg(id), count(*), sum(size) FROM (
    SELECT id, least(octet_length(text), 400000) AS size FROM added) sized HAVING sum(size) <= 1000000;
  IF NOT FOUND THEN
    INSERT INTO search_pending (document_ids, documents, bytes)
    SELECT array_agg(id), count(*), sum(size) FROM (
      SELECT id, size, sum(size) OVER (ORDER BY id) / 1000000 AS part FROM (
        SELECT id, least(octet_length(text), 400000) AS size FROM added) sized) parts
    GROUP BY part;
  END IF;
  RETURN NULL;
END $$
"""
_NOTE_BEFORE = """
CREATE OR REPLACE FUNCTION note_unindexed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO search_pending (document_ids, documents, bytes)
  SELECT array_agg(id), count(*), sum(size) FROM (
    SELECT id, size, sum(size) OVER (ORDER BY id) / 1000000 AS part FROM (
      SELECT id, least(octet_length(text), 400000) AS size FROM added) sized) parts
  GROUP BY part;
  RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute(_TYPE)
    op.execute(_NOTE)
    # The ids are read once and deleted: compressing them costs more than it saves.
    op.execute("ALTER TABLE search_pending ALTER COLUMN document_ids SET STORAGE EXTERNAL")
    # In the order in which workers lock them: else both could wait for each other.
    op.execute("LOCK TABLE documents, predictions IN ACCESS EXCLUSIVE MODE")
    op.drop_constraint(op.f("fk_predictions_document_id"), "predictions")


def downgrade() -> None:
    op.execute("LOCK TABLE documents, predictions IN ACCESS EXCLUSIVE MODE")
    op.create_foreign_key(op.f("fk_predictions_document_id"), "predictions", "documents", ["document_id"], ["id"])
    op.execute("ALTER TABLE search_pending ALTER COLUMN document_ids SET STORAGE EXTENDED")
    op.execute(_NOTE_BEFORE)
    op.execute("DROP TYPE incoming_document")
