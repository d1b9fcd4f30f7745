"""Index the words of documents after they are stored, by housekeeping; documents already stored stay searchable.

The words that the index has now are copied first: this takes about a tenth of a second for 1,000 paragraphs, during
which documents can be stored. The locks that nobody can store beside are taken at the end.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# Each row is so small that housekeeping indexes it in one short transaction. Texts are indexed up to 100,000
# characters, which have at most 400,000 bytes.
_WAIT = """
INSERT INTO search_pending (document_ids, documents, bytes)
SELECT array_agg(id), count(*), sum(size) FROM (
  SELECT id, size, sum(size) OVER (ORDER BY id) / 1000000 AS part FROM (
    SELECT id, least(octet_length(text), 400000) AS size FROM {source}) sized) parts
GROUP BY part
"""
# A trigger, so that no statement that stores documents can forget it, nor a worker of the previous version.
_NOTE = f"""
CREATE FUNCTION note_unindexed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {_WAIT.format(source="added")}; RETURN NULL; END $$
"""
_TRIGGER = """
CREATE TRIGGER note_unindexed AFTER INSERT ON documents REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION note_unindexed()
"""
# What others stored while the words were copied.
_MISSED = "documents WHERE NOT EXISTS (SELECT FROM search_index WHERE document_id = documents.id)"


def upgrade() -> None:
    op.create_table(
        "search_pending",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("document_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False, comment="how many they are"),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="of their texts, as far as these are indexed"),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_pending")),
    )
    op.create_table(
        "search_index",
        sa.Column("document_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "received_at", sa.DateTime(timezone=True), nullable=False,
            comment="the document's; results are ordered by it",
        ),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
    )  # fmt: skip
    # Postgres' samples of words would outlive the documents that had them.
    op.execute("ALTER TABLE search_index ALTER COLUMN words SET STATISTICS 0")
    op.execute("INSERT INTO search_index SELECT id, received_at, document_words(text) FROM documents")
    op.create_primary_key(op.f("pk_search_index"), "search_index", ["document_id"])
    op.create_index("ix_search_index_words", "search_index", ["words"], postgresql_using="gin")
    op.execute("LOCK TABLE documents IN ACCESS EXCLUSIVE MODE")
    op.execute("DELETE FROM search_index WHERE NOT EXISTS (SELECT FROM documents WHERE id = document_id)")
    op.execute(_WAIT.format(source=_MISSED))
    op.create_foreign_key(op.f("fk_search_index_document_id"), "search_index", "documents", ["document_id"], ["id"])
    op.execute(_NOTE)
    op.execute(_TRIGGER)
    op.drop_index("ix_documents_words", table_name="documents")


def downgrade() -> None:
    op.create_index("ix_documents_words", "documents", [sa.text("document_words(text)")], postgresql_using="gin")
    op.execute("ALTER INDEX ix_documents_words ALTER COLUMN 1 SET STATISTICS 0")
    op.execute("DROP TRIGGER note_unindexed ON documents")
    op.execute("DROP FUNCTION note_unindexed()")
    op.drop_table("search_index")
    op.drop_table("search_pending")
