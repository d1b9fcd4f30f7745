"""Vectors of documents, with pgvector where the server has it, and the encoders that made them.

`embedding` is `halfvec` of pgvector 0.7 or newer, else `bytea` with the same bytes. Its first partition has what waits
for a person or was decided; the newest documents go round the others, and the oldest of these is emptied as a whole.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_RING = 16


def upgrade() -> None:
    op.create_table(
        "encoders",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="sha256 of what makes vectors, and the form"),
        sa.Column("width", sa.Integer(), nullable=False, comment="numbers of a vector"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_encoders")),
        sa.UniqueConstraint("key", name=op.f("uq_encoders_key")),
    )
    bytes_of, kind = ("halfvec_send($1)", "halfvec") if _has_pgvector() else ("$1", "bytea")
    op.execute(f"CREATE DOMAIN embedding AS {kind}")
    op.execute(
        f"CREATE FUNCTION embedding_bytes({kind}) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS 'SELECT {bytes_of}'"
    )
    op.execute("""
        CREATE TABLE embeddings (
          document_id bigint NOT NULL, slot smallint NOT NULL, encoder_id integer NOT NULL, vector embedding NOT NULL,
          CONSTRAINT pk_embeddings PRIMARY KEY (document_id, slot)
        ) PARTITION BY LIST (slot)
    """)
    op.execute("""
        COMMENT ON COLUMN embeddings.slot
        IS '0: it waits for a person or was decided; else its place in the ring of the newest'
    """)
    for slot in range(_RING + 1):
        op.execute(f"CREATE TABLE embeddings_{slot} PARTITION OF embeddings FOR VALUES IN ({slot})")


def downgrade() -> None:
    op.drop_table("embeddings")
    op.execute("DROP FUNCTION embedding_bytes")
    op.execute("DROP DOMAIN embedding")
    op.drop_table("encoders")
    _try("DROP EXTENSION IF EXISTS vector")  # refused where something else needs it


def _has_pgvector() -> bool:
    """Create the extension if the server has it and lets us."""
    _try("CREATE EXTENSION IF NOT EXISTS vector")
    return op.get_bind().scalar(sa.text("SELECT to_regtype('halfvec')")) is not None


def _try(statement: str) -> None:
    try:
        with op.get_bind().begin_nested():
            op.execute(statement)
    except DBAPIError:
        pass
