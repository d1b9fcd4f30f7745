"""Vectors of documents, and the encoders that made them."""

from datetime import datetime

from sqlalchemy import BigInteger, Integer, LargeBinary, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now, row_id


class Encoder(Table):
    """What makes vectors of texts; only vectors of the same one can be compared."""

    __tablename__ = "encoders"

    id: Mapped[int] = row_id(Integer)
    key: Mapped[str] = mapped_column(unique=True, comment="sha256 of what makes vectors, and the form")
    width: Mapped[int] = mapped_column(Integer, comment="numbers of a vector")
    created_at: Mapped[datetime] = now()


class Embedding(Table):
    """The vector of a document: what the last layer of a model's head reads, in half precision.

    It has no foreign key, which would cost a look-up per row on the hot path. Who adds a row stores its document in the
    same transaction or has locked it, so erasure reaches every row. Vectors can be computed again at any time.
    """

    __tablename__ = "embeddings"

    document_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    slot: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False,
        comment="0: it waits for a person or was decided; else its place in the ring of the newest",
    )  # fmt: skip
    encoder_id: Mapped[int] = mapped_column(Integer)
    # A domain over pgvector's halfvec, or over bytea where the server has no pgvector; the bytes are the same.
    vector: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = ({"postgresql_partition_by": "LIST (slot)"},)
