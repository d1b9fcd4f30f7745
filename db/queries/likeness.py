"""Find the documents whose vectors are nearest to a vector.

Postgres compares all vectors of the encoder where it has pgvector; else numpy compares the newest ones here. Left out
are older texts of a document, and documents whose decision must not be swayed (`document_search.BLIND`): whoever sees
them beside others would know what these were decided.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import embeddings
from db.queries.document_search import BLIND
from db.queries.standing import is_newest_text
from db.vector_array import Matrix, VectorArray

NO_VECTORS = "No document has a vector yet: workers compute them with the predictions of a model."
NEWEST = 20_000  # vectors that are compared without pgvector
_MORE = 8  # how many times as many are looked at, once too many of the nearest are left out
_LEAST = 1e-9

# Halves of the scan run at once. The planner would do without where it knows little of a new table.
_PARALLEL = text("""
SELECT set_config('max_parallel_workers_per_gather', '2', true), set_config('parallel_setup_cost', '10', true),
  set_config('parallel_tuple_cost', '0.001', true), set_config('min_parallel_table_scan_size', '1MB', true)
""")
_NEAREST = text("""
SELECT document_id, distance FROM (
  SELECT document_id, CAST(vector AS halfvec) <=> CAST((CAST(:vectors AS embedding[]))[1] AS halfvec) AS distance
  FROM embeddings WHERE encoder_id = :encoder_id) compared
ORDER BY distance LIMIT :limit
""")
_SHOWN = text(f"""
SELECT d.id FROM documents d WHERE d.id = ANY(:ids) AND {is_newest_text("d")}
AND NOT EXISTS (SELECT FROM queue_items WHERE document_id = d.id AND reason = ANY(:blind))
""")  # noqa: S608 - of constants alone
_OTHER_TEXTS = text("""
SELECT other.id FROM documents d JOIN documents other
ON other.source = d.source AND other.external_id = d.external_id WHERE d.id = :id
""")


class Near(NamedTuple):
    """A document, and the cosine of the angle between its vector and the one asked for: 1 is the same direction."""

    id: int
    likeness: float


def vector_of(session: Session, encoder: tuple[int, int], document_id: int) -> NDArray[np.float32] | None:
    """A document's vector (d,) by an encoder (id, numbers of a vector); None: it has none."""
    found = embeddings.of_documents(session, *encoder, [document_id])
    return found.vectors[0] if found.ids else None


def nearest(
    session: Session, encoder: tuple[int, int], vector: NDArray[np.float32], limit: int, without: int | None = None,
    in_postgres: bool | None = None,
) -> list[Near]:  # fmt: skip
    """The documents nearest to a vector (d,), the nearest first.

    Args:
        encoder: id and width of what made the vector.
        without: a document that is not wanted, with all its texts.
        in_postgres: whether Postgres compares; None: where it has pgvector.
    """
    unwanted = set() if without is None else set(session.scalars(_OTHER_TEXTS, {"id": without}))
    if in_postgres is None:
        in_postgres = embeddings.has_pgvector(session)
    compared = _in_postgres if in_postgres else _here
    asked = 2 * limit
    while True:
        found = compared(session, encoder, vector, asked)
        near = _once(each for each in found if each.id not in unwanted)
        ids = [each.id for each in near]
        shown = set(session.scalars(_SHOWN, {"ids": ids, "blind": list(BLIND)}))
        kept = [each for each in near if each.id in shown]
        if len(kept) >= limit or len(found) < asked:
            return kept[:limit]
        asked *= _MORE


def _once(found: Iterable[Near]) -> list[Near]:
    """Each document once: it may have a vector in the ring and one that stays."""
    first: dict[int, Near] = {}
    for each in found:
        first.setdefault(each.id, each)
    return list(first.values())


def _in_postgres(session: Session, encoder: tuple[int, int], vector: Matrix, limit: int) -> list[Near]:
    session.execute(_PARALLEL)
    asked = {"encoder_id": encoder[0], "vectors": VectorArray([vector[None]]), "limit": limit}
    rows = session.execute(_NEAREST, asked).all()
    # A vector of zeros has no direction; its distance is NaN, which Postgres sorts last.
    return [Near(row.document_id, _bounded(1 - row.distance)) for row in rows if row.distance == row.distance]


def _here(session: Session, encoder: tuple[int, int], vector: Matrix, limit: int) -> list[Near]:
    ids, vectors = embeddings.newest_ones(session, *encoder, NEWEST)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector)
    cosines = (vectors @ vector) / np.maximum(lengths, _LEAST)
    nearest = [int(place) for place in np.argsort(-cosines, kind="stable") if lengths[place] > _LEAST][:limit]
    return [Near(ids[place], _bounded(float(cosines[place]))) for place in nearest]


def _bounded(likeness: float) -> float:
    return max(-1.0, min(1.0, likeness))
