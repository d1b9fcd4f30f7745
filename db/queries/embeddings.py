"""Queries on vectors of documents, and on the encoders that made them.

Vectors of what waits for a person or was decided stay, in slot 0. Others go round a ring of 16 partitions in the order
in which they are stored, so that old ones go by emptying a partition: deleting them row by row would cost Postgres more
than storing them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.vector_array import Matrix, VectorArray, read_vectors

_RING = range(1, 17)
_PART = "greatest(CAST(:newest AS bigint) / 8, 1)"  # vectors in a partition of the ring
_LOCK_WAITS = "1s"  # whoever reads vectors meanwhile, such as a backup, goes first


def slot(kept: str) -> str:
    """SQL of a vector's slot, for statements with the parameter ``newest``.

    ``newest`` vectors fill half of the ring.

    Args:
        kept: SQL condition on which its vector stays.
    """
    return f"CASE WHEN {kept} THEN 0 ELSE 1 + (nextval('embeddings_ring') / {_PART}) % 16 END"


def needed(row: str) -> str:
    """SQL condition: the document of a row of vectors waits for a person or was decided."""
    return f"""(EXISTS (SELECT FROM queue_items WHERE queue_items.document_id = {row}.document_id)
    OR EXISTS (SELECT FROM reviews WHERE reviews.document_id = {row}.document_id))"""  # noqa: S608 - of constants alone


_KNOWN = text("SELECT id FROM encoders WHERE key = :key")
_ADD_ENCODER = text("INSERT INTO encoders (key, width) VALUES (:key, :width) ON CONFLICT DO NOTHING")
_NOTE = text("""
UPDATE model_forms SET encoder_id = :encoder_id
WHERE model_version_id = :version_id AND name = :form AND encoder_id IS DISTINCT FROM :encoder_id
""")
# A machine without int8 loads the whole model in its place.
_OF_ACTIVE = text("""
SELECT encoders.id, width FROM model_versions JOIN model_forms ON model_version_id = model_versions.id
JOIN encoders ON encoders.id = encoder_id
WHERE status = 'active' ORDER BY name = form DESC, name = 'whole' DESC LIMIT 1
""")
_NEWEST_ONES = text("""
SELECT array_agg(document_id) AS ids, string_agg(embedding_bytes(vector), '') AS vectors FROM (
  SELECT DISTINCT ON (document_id) document_id, vector FROM embeddings WHERE encoder_id = :encoder_id
  ORDER BY document_id DESC, slot DESC LIMIT :count) found
""")
_WAITING = text("""
SELECT array_agg(document_id) AS ids, string_agg(embedding_bytes(vector), '') AS vectors FROM (
  SELECT document_id, vector FROM queue_items JOIN embeddings USING (document_id)
  WHERE slot = 0 AND encoder_id = :encoder_id AND document_id > :after ORDER BY document_id LIMIT :limit) found
""")
_STAYING = text("""
SELECT document_id FROM embeddings_0 WHERE encoder_id = :encoder_id ORDER BY document_id DESC LIMIT :count
""")
_NEWEST_DOCUMENTS = text("""
SELECT DISTINCT document_id FROM embeddings WHERE encoder_id = :encoder_id ORDER BY document_id DESC LIMIT :count
""")
_KNOWN_ONES = text("""
SELECT count(DISTINCT document_id) FROM (
  SELECT document_id FROM embeddings WHERE encoder_id = :encoder_id LIMIT 2 * :most) found
""")
_FORGET_OLDER = text("DELETE FROM embeddings WHERE document_id = ANY(:ids) AND encoder_id <> :encoder_id")
_STORE = text(f"""
INSERT INTO embeddings (document_id, slot, encoder_id, vector)
SELECT document_id, {slot(needed("given"))}, :encoder_id, vector
FROM unnest(CAST(:ids AS bigint[]), CAST(:vectors AS embedding[])) AS given (document_id, vector)
WHERE :newest > 0 OR {needed("given")}
ON CONFLICT (document_id, slot) DO UPDATE SET encoder_id = excluded.encoder_id, vector = excluded.vector
""")  # noqa: S608 - of constants alone
_OF_DOCUMENTS = text("""
SELECT array_agg(document_id) AS ids, string_agg(embedding_bytes(vector), '') AS vectors FROM (
  SELECT DISTINCT ON (document_id) document_id, vector FROM embeddings
  WHERE document_id = ANY(:ids) AND encoder_id = :encoder_id ORDER BY document_id, slot) found
""")
_ENCODERS_OF = text("""
SELECT id, width FROM encoders WHERE id IN (SELECT encoder_id FROM embeddings WHERE document_id = ANY(:ids))
ORDER BY id DESC
""")
_NEWEST = text("SELECT coalesce(max(id), 0) FROM documents")
_WAITS = text("SELECT set_config('lock_timeout', :waits, true)")


def _of_slot(number: int, statement: str) -> str:
    return statement.replace("SLOT", f"embeddings_{number}")


_PART_NOW = text(f"SELECT last_value / {_PART} FROM embeddings_ring")  # noqa: S608 - of constants alone
_IS_USED = {each: text(_of_slot(each, "SELECT EXISTS (SELECT FROM SLOT)")) for each in _RING}
_LOCK = {each: text(_of_slot(each, "LOCK TABLE SLOT IN ACCESS EXCLUSIVE MODE")) for each in _RING}
_MOVE_NEEDED = f"""
INSERT INTO embeddings (document_id, slot, encoder_id, vector)
SELECT document_id, 0, encoder_id, vector FROM SLOT old WHERE {needed("old")} ON CONFLICT DO NOTHING
"""  # noqa: S608 - of constants alone
_MOVE = {each: text(_of_slot(each, _MOVE_NEEDED)) for each in _RING}
_EMPTY = {each: text(_of_slot(each, "TRUNCATE SLOT")) for each in _RING}
_PAGE = text("""
SELECT max(document_id) FROM (
  SELECT document_id FROM embeddings_0 WHERE document_id > :after ORDER BY document_id LIMIT :limit) page
""")
_NOT_NEEDED = text(f"""
DELETE FROM embeddings_0 old WHERE document_id > :after AND document_id <= :last AND document_id <= :below
AND NOT {needed("old")}
""")  # noqa: S608 - of constants alone
_TYPE = text("SELECT typbasetype::regtype::text FROM pg_type WHERE oid = 'embedding'::regtype")


class Vectors(NamedTuple):
    """Ids of documents, and their vectors (n, d)."""

    ids: list[int]
    vectors: Matrix


def encoder_id(session: Session, sha256: str, form: str, width: int) -> int:
    """The id of an encoder, which is added if nobody has used it yet. The caller commits.

    Args:
        sha256: of what makes the vectors.
        form: in which it does.
    """
    key = f"{sha256} {form}"
    found = session.scalar(_KNOWN, {"key": key})
    if found is None:
        session.execute(_ADD_ENCODER, {"key": key, "width": width})
        found = session.scalar(_KNOWN, {"key": key})
    assert found is not None
    return int(found)


def note_encoder(session: Session, version_id: int, form: str, encoder_id: int) -> None:
    """Note which encoder makes the vectors of a version's form. The caller commits."""
    session.execute(_NOTE, {"version_id": version_id, "form": form, "encoder_id": encoder_id})


def encoder_of_active(session: Session) -> tuple[int, int] | None:
    """Id and width of the encoder that makes the active version's vectors; None: there is none, or no worker has it."""
    found = session.execute(_OF_ACTIVE).one_or_none()
    return None if found is None else (found.id, found.width)


def newest_ones(session: Session, encoder_id: int, width: int, count: int) -> Vectors:
    """The vectors of the newest documents that have one, at most ``count``."""
    return _vectors(session.execute(_NEWEST_ONES, {"encoder_id": encoder_id, "count": count}).one(), width)


def newest_staying(session: Session, encoder_id: int, count: int) -> list[int]:
    """Ids of the newest documents whose vector stays, at most ``count``."""
    return list(session.scalars(_STAYING, {"encoder_id": encoder_id, "count": count}))


def newest_documents(session: Session, encoder_id: int, count: int) -> list[int]:
    """Ids of the newest documents that have a vector, at most ``count``."""
    return list(session.scalars(_NEWEST_DOCUMENTS, {"encoder_id": encoder_id, "count": count}))


def known_ones(session: Session, encoder_id: int, most: int) -> int:
    """How many documents have a vector; from ``most`` on, about that."""
    # A document may have two: in the ring and where those stay that are needed.
    return min(most, int(session.scalar(_KNOWN_ONES, {"encoder_id": encoder_id, "most": most}) or 0))


def waiting(session: Session, encoder_id: int, width: int, after: int, limit: int) -> Vectors:
    """The vectors of a page of the documents that wait for a person, by id, after the id ``after``."""
    asked = {"encoder_id": encoder_id, "after": after, "limit": limit}
    return _vectors(session.execute(_WAITING, asked).one(), width)


def _vectors(found: Row[Any], width: int) -> Vectors:
    return Vectors(list(found.ids or ()), read_vectors(found.vectors, width))


def store(session: Session, encoder_id: int, ids: Sequence[int], vectors: NDArray[np.floating], newest: int) -> None:
    """Store documents' vectors in place of those by other encoders. The caller has locked the documents, and commits.

    Args:
        vectors: (n, d), in the order of ``ids``.
        newest: about how many vectors are kept of documents that neither wait nor were decided.
    """
    if not ids:
        return
    given = {"encoder_id": encoder_id, "ids": list(ids)}
    session.execute(_FORGET_OLDER, given)
    session.execute(_STORE, {**given, "vectors": VectorArray([vectors]), "newest": newest})


def of_documents(session: Session, encoder_id: int, width: int, ids: Sequence[int]) -> Vectors:
    """The vectors that there are of these documents, in no order."""
    return _vectors(session.execute(_OF_DOCUMENTS, {"encoder_id": encoder_id, "ids": list(ids)}).one(), width)


def encoders_of(session: Session, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Ids and widths of the encoders that made vectors of these documents, the newest first."""
    return [(row.id, row.width) for row in session.execute(_ENCODERS_OF, {"ids": list(ids)})]


def expire(session: Session, newest: int) -> int:
    """Empty a part of the ring that the newest vectors have left behind. The caller commits.

    Returns:
        The number of its partition; 0: there is none.

    Raises:
        OperationalError: somebody is reading it; ask again later.
    """
    part = session.scalar(_PART_NOW, {"newest": newest})
    assert part is not None
    kept = {1 + (part - back) % len(_RING) for back in range(9)} if newest else set()
    for number in _RING:
        if number not in kept and session.scalar(_IS_USED[number]):
            session.scalar(_WAITS, {"waits": _LOCK_WAITS})
            session.execute(_LOCK[number])
            session.execute(_MOVE[number])
            session.execute(_EMPTY[number])
            return number
    return 0


def forget_unneeded(session: Session, after: int, limit: int, newest: int) -> int:
    """Delete the vectors on a page of slot 0 that are older than the newest documents and that nothing needs any more.

    Returns:
        The last id of the page, to go on after; 0: that was the end. The caller commits.
    """
    last = session.scalar(_PAGE, {"after": after, "limit": limit})
    if last is None:
        return 0
    below = int(session.scalar(_NEWEST) or 0) - newest
    session.execute(_NOT_NEEDED, {"after": after, "last": last, "below": below})
    return int(last)


def has_pgvector(session: Session) -> bool:
    """Whether vectors are pgvector's, so that Postgres can compare them."""
    return bool(session.scalar(_TYPE) == "halfvec")
