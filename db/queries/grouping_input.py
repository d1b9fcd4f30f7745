"""Queries on what is grouped into topics: which documents, and their vectors.

Undecided is what waits for a person, except documents whose decision must not be swayed (`document_search.BLIND`). What
may be a new label is what people decided "none fits", and what of the undecided is unlikely to belong to a label.
"""

from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.queries import embeddings
from db.queries.document_search import BLIND
from db.queries.doubts import LOW
from db.queries.standing import decides, is_newest_text, is_standing_decision, newest_prediction, stands
from db.vector_array import Matrix, read_vectors

_AT_ONCE = 5_000  # vectors
_NEWEST, _DRAWN, _AMONG = 1_000, 3_000, 100_000  # documents of the traffic: the newest ones, and others among so many
IS_UNDECIDED = f"""
queue_items.reason <> ALL(:blind) AND NOT EXISTS (
  SELECT FROM reviews WHERE reviews.document_id = queue_items.document_id AND {decides()} AND {stands()})
"""


def decided_none_fits(document: str) -> str:
    """SQL condition: people decided that no label fits, and nobody has to decide it again independently."""
    return f"""EXISTS (
  SELECT FROM reviews WHERE reviews.document_id = {document} AND reviews.action = 'none_fits'
  AND {is_standing_decision("reviews")})
AND NOT EXISTS (SELECT FROM queue_items WHERE document_id = {document} AND reason = ANY(:blind))"""  # noqa: S608


_TEXTS = text(f"""
SELECT d.id, left(d.text, :chars) AS text, d.content_hash, 1 AS times FROM queue_items
JOIN documents d ON d.id = document_id
WHERE {IS_UNDECIDED} AND {is_newest_text("d")} ORDER BY d.id DESC LIMIT :limit
""")  # noqa: S608 - of constants alone
_LOW = f"""
SELECT document_id FROM queue_items
JOIN LATERAL {newest_prediction("queue_items.document_id", "fit")} said ON said.fit < :low_fit WHERE {IS_UNDECIDED}
"""  # noqa: S608 - of constants alone
# Texts that differ in digits or case alone count as copies.
_FOLDED = "sha256(convert_to(regexp_replace(lower(left(d.text, :chars)), '[0-9]+', '0', 'g'), 'UTF8'))"
# The newest documents with a vector, and a draw of older ones; a text counts once, so that no flood is all there is.
_TRAFFIC = text(f"""
SELECT array_agg(label_id) AS labels, string_agg(embedding_bytes(vector), '') AS vectors FROM (
  SELECT DISTINCT ON ({_FOLDED}) label_id, vector FROM (
    SELECT id, text FROM documents JOIN (
      SELECT document_id AS id, row_number() OVER (ORDER BY document_id DESC) AS nth, count(*) OVER () AS times FROM (
        SELECT DISTINCT document_id FROM embeddings WHERE encoder_id = :encoder_id
        ORDER BY document_id DESC LIMIT :among) newest) numbered USING (id)
    WHERE nth <= :newest OR nth % greatest(1, times / :drawn) = 0) d
  JOIN LATERAL (
    SELECT vector FROM embeddings WHERE document_id = d.id AND encoder_id = :encoder_id LIMIT 1) known ON true
  LEFT JOIN LATERAL {newest_prediction("d.id", "label_id")} said ON true
  ORDER BY {_FOLDED}, d.id DESC) found
""")  # noqa: S608 - of constants alone
# The first copies of all texts come before the second ones,
# so that no flood hides what else there is; what people decided comes first.
_MAYBE_NEW = text(f"""
SELECT id, text, content_hash, times FROM (
  SELECT *, row_number() OVER (PARTITION BY content_hash ORDER BY none_fits DESC, id DESC) AS copy,
    count(*) OVER (PARTITION BY content_hash) AS times
  FROM (
    SELECT d.id, left(d.text, :chars) AS text, none_fits,
      {_FOLDED} AS content_hash
    FROM (
      SELECT document_id, true AS none_fits FROM (
        SELECT DISTINCT document_id FROM reviews WHERE action = 'none_fits') said
      WHERE {decided_none_fits("said.document_id")}
      UNION ALL SELECT document_id, false FROM ({_LOW}) low) found
    JOIN documents d ON d.id = document_id WHERE {is_newest_text("d")}) folded) counted
WHERE copy <= :copies ORDER BY copy, none_fits DESC, id DESC LIMIT :limit
""")  # noqa: S608 - of constants alone
_WAITING = text(f"SELECT count(*) FROM (SELECT FROM queue_items WHERE {IS_UNDECIDED} LIMIT :most) waiting")  # noqa: S608


class Read(NamedTuple):
    """What is to be grouped: rows with id, text, content_hash and times, and their vectors (n, d) in the same order.

    ``times``: how many documents have this text. ``waiting``: all that could be grouped; ``without_vector``: of the
    documents that were looked at; ``encoder``: id and width of what made the vectors.
    """

    texts: list[Row[Any]]
    vectors: Matrix
    waiting: int
    without_vector: int
    encoder: tuple[int, int] | None


def undecided(session: Session, limit: int, chars: int) -> Read:
    """The newest undecided documents that have a vector by the present encoder.

    Args:
        limit: documents, at most.
        chars: of each text.
    """
    rows = list(session.execute(_TEXTS, {"blind": list(BLIND), "limit": limit, "chars": chars}))
    count = len(rows) if len(rows) < limit else waiting(session, 10 * limit)
    encoder = embeddings.encoder_of_active(session)
    if encoder is None:
        return Read([], np.empty((0, 0), np.float32), count, len(rows), None)
    kept, vectors, left = _with_vectors(session, rows, encoder)
    return Read(kept, vectors, count, len(left), encoder)


def maybe_new(session: Session, limit: int, chars: int, copies: int) -> list[Read]:
    """What may be a new label: documents that were decided "none fits", and undecided ones of low fit.

    What was decided before a version with another encoder was promoted has vectors of the encoder from before. They
    can't be compared with the others, so the documents of each encoder are apart, those of the newest one first.

    Args:
        limit: documents, at most.
        chars: of each text.
        copies: documents of one text, at most; texts that differ in digits or case alone are one.
    """
    asked = {"blind": list(BLIND), "low_fit": LOW, "limit": limit, "chars": chars, "copies": copies}
    rows = list(session.execute(_MAYBE_NEW, asked))
    found: list[tuple[list[Row[Any]], Matrix, tuple[int, int] | None]] = []
    left = rows
    for encoder in embeddings.encoders_of(session, [row.id for row in rows]):
        kept, vectors, left = _with_vectors(session, left, encoder)
        found.append((kept, vectors, encoder))
    found = found or [([], np.empty((0, 0), np.float32), None)]
    return [Read(kept, vectors, len(rows), len(left), encoder) for kept, vectors, encoder in found]


def traffic(session: Session, encoder: tuple[int, int], chars: int) -> tuple[Matrix, list[int | None]]:
    """Vectors (n, d) of the traffic by an encoder, and what each document was predicted as; of copies there is one.

    Args:
        encoder: its id, and the width of its vectors.
        chars: of each text, in which copies are told.
    """
    asked = {"newest": _NEWEST, "drawn": _DRAWN, "among": _AMONG, "encoder_id": encoder[0], "chars": chars}
    found = session.execute(_TRAFFIC, asked).one()
    return read_vectors(found.vectors, encoder[1]), list(found.labels or ())


def _with_vectors(
    session: Session, rows: list[Row[Any]], encoder: tuple[int, int]
) -> tuple[list[Row[Any]], Matrix, list[Row[Any]]]:
    """The rows that have a vector by an encoder, their vectors (n, d), and the other rows."""
    vectors = np.empty((len(rows), encoder[1]), np.float32)
    places = {row.id: place for place, row in enumerate(rows)}
    there = np.zeros(len(rows), np.bool_)
    for start in range(0, len(rows), _AT_ONCE):
        found = embeddings.of_documents(session, *encoder, [row.id for row in rows[start : start + _AT_ONCE]])
        at = [places[each] for each in found.ids]
        vectors[at], there[at] = found.vectors, True
    kept = [row for row, has in zip(rows, there, strict=True) if has]
    return kept, vectors[there], [row for row, has in zip(rows, there, strict=True) if not has]


def waiting(session: Session, most: int) -> int:
    """How many documents are undecided, counted up to a limit."""
    return int(session.scalar(_WAITING, {"blind": list(BLIND), "most": most}) or 0)
