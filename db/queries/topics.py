"""Queries on topics: documents grouped by likeness, of two kinds: what is undecided, and what may be a new label.

A row of `groupings` is a request; a process that housekeeping starts takes it, and stores its topics in place of those
before of its kind. Undecided is what waits for a person, except documents whose decision must not be swayed
(`document_search.BLIND`). What may be a new label is what people decided "none fits", and what of the undecided is
unlikely to belong to a label; what else of the undecided is like a topic of these joins it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.models import AuditEvent
from db.queries import embeddings
from db.queries.document_search import BLIND
from db.queries.doubts import LOW
from db.queries.standing import decides, is_newest_text, is_standing_decision, newest_prediction, stands
from db.vector_array import Matrix, read_vectors
from sortline.errors import InvalidInputError, NotFoundError
from sortline.label_names import clean_label_name

Kind = Literal["undecided", "new_label"]
UNDECIDED: Kind = "undecided"
NEW_LABEL: Kind = "new_label"
KINDS: tuple[Kind, ...] = (UNDECIDED, NEW_LABEL)
_AT_ONCE = 5_000  # vectors
_NEWEST, _DRAWN, _AMONG = 1_000, 3_000, 100_000  # documents of the traffic: the newest ones, and others among so many
_LOST_S = 1800  # after which a grouping's process is taken for dead

_UNDECIDED = f"""
queue_items.reason <> ALL(:blind) AND NOT EXISTS (
  SELECT FROM reviews WHERE reviews.document_id = queue_items.document_id AND {decides()} AND {stands()})
"""


def _decided_none_fits(document: str) -> str:
    """SQL condition: people decided that no label fits, and nobody has to decide it again independently."""
    return f"""EXISTS (
  SELECT FROM reviews WHERE reviews.document_id = {document} AND reviews.action = 'none_fits'
  AND {is_standing_decision("reviews")})
AND NOT EXISTS (SELECT FROM queue_items WHERE document_id = {document} AND reason = ANY(:blind))"""  # noqa: S608


_TEXTS = text(f"""
SELECT d.id, left(d.text, :chars) AS text, d.content_hash, 1 AS times FROM queue_items
JOIN documents d ON d.id = document_id
WHERE {_UNDECIDED} AND {is_newest_text("d")} ORDER BY d.id DESC LIMIT :limit
""")  # noqa: S608 - of constants alone
_LOW = f"""
SELECT document_id FROM queue_items
JOIN LATERAL {newest_prediction("queue_items.document_id", "fit")} said ON said.fit < :low_fit WHERE {_UNDECIDED}
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
      WHERE {_decided_none_fits("said.document_id")}
      UNION ALL SELECT document_id, false FROM ({_LOW}) low) found
    JOIN documents d ON d.id = document_id WHERE {is_newest_text("d")}) folded) counted
WHERE copy <= :copies ORDER BY copy, none_fits DESC, id DESC LIMIT :limit
""")  # noqa: S608 - of constants alone
_WAITING = text(f"SELECT count(*) FROM (SELECT FROM queue_items WHERE {_UNDECIDED} LIMIT :most) waiting")  # noqa: S608
# A look that costs little: whether some of it may be a new label is found out by grouping.
_MAY_BE = text("""
SELECT (SELECT count(*) FROM (SELECT FROM queue_items LIMIT :least) waiting)
  + (SELECT count(*) FROM (SELECT FROM reviews WHERE action = 'none_fits' LIMIT :least) decided) >= :least
""")
_ASK = text("""
INSERT INTO groupings (kind, asked_at) SELECT kind, now() FROM unnest(CAST(:kinds AS text[])) AS asked (kind)
WHERE NOT EXISTS (
  SELECT FROM groupings WHERE ended_at IS NULL AND groupings.kind = asked.kind
  AND coalesce(started_at, asked_at) > now() - make_interval(secs => :lost))
""")
_OPEN = text("""
SELECT id FROM groupings WHERE ended_at IS NULL AND (
  started_at IS NULL OR started_at < now() - make_interval(secs => :lost)) ORDER BY id DESC LIMIT 1
""")
_SINCE_NEWEST = text("""
SELECT extract(epoch FROM now() - max(coalesce(ended_at, started_at))) FROM groupings WHERE kind = :kind
""")
_HAS_TOPICS = text("""
SELECT EXISTS (SELECT FROM topics JOIN groupings ON groupings.id = grouping_id WHERE kind = :kind)
""")
_BEGIN = text("""
UPDATE groupings SET started_at = now() WHERE id = (
  SELECT id FROM groupings WHERE kind = :kind AND ended_at IS NULL AND (
    started_at IS NULL OR started_at < now() - make_interval(secs => :lost))
  ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id
""")
_NEW = text("INSERT INTO groupings (kind, started_at) VALUES (:kind, now()) RETURNING id")
_HOLD = text("SELECT id FROM documents WHERE id = ANY(:ids) ORDER BY id FOR KEY SHARE")
_OF_KIND = "SELECT topics.id FROM topics JOIN groupings ON groupings.id = grouping_id WHERE kind = :kind"
_ASIDE = text(f"""
SELECT document_id, aside_at FROM topic_documents JOIN topics ON topics.id = topic_id
WHERE document_id = ANY(:ids) AND topics.id IN ({_OF_KIND})
""")  # noqa: S608 - of constants alone
_NO_DOCUMENTS = text(f"DELETE FROM topic_documents WHERE topic_id IN ({_OF_KIND})")  # noqa: S608
_NO_TOPICS = text(f"DELETE FROM topics WHERE id IN ({_OF_KIND})")  # noqa: S608
_NO_GROUPINGS = text("""
DELETE FROM groupings WHERE id < :id AND kind = (SELECT kind FROM groupings same WHERE same.id = :id)
""")
_ADD_TOPICS = text("""
INSERT INTO topics (grouping_id, words, size, copies, aside_at)
SELECT :grouping_id, ARRAY(SELECT json_array_elements_text(words)), size, copies, aside_at
FROM json_to_recordset(CAST(:rows AS json))
AS row (place integer, words json, size integer, copies boolean, aside_at timestamptz) ORDER BY place RETURNING id
""")
_ADD_DOCUMENTS = text("""
INSERT INTO topic_documents (document_id, topic_id, place)
SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:topics AS integer[]), CAST(:places AS integer[]))
""")
_END = text("""
UPDATE groupings SET ended_at = now(), documents = :documents, waiting = :waiting, without_vector = :without_vector,
  error = :error WHERE id = :id
""")
_SHOWN = text("SELECT * FROM groupings WHERE ended_at IS NOT NULL AND kind = :kind ORDER BY id DESC LIMIT 1")
_RUNNING = text("SELECT * FROM groupings WHERE ended_at IS NULL AND kind = :kind ORDER BY id DESC LIMIT 1")
# What of the topics' documents still belongs there.
_PRESENT = f"""(
  SELECT topic_id, queue_items.document_id, place, false AS none_fits
  FROM topic_documents JOIN queue_items ON queue_items.document_id = topic_documents.document_id WHERE {_UNDECIDED}
  UNION ALL
  SELECT topic_id, document_id, place, true FROM topic_documents JOIN topics ON topics.id = topic_id
  JOIN groupings ON groupings.id = grouping_id
  WHERE kind = 'new_label' AND {_decided_none_fits("topic_documents.document_id")})"""  # noqa: S608
_LISTING = text(f"""
SELECT topics.id, words, size, copies, aside_at, counted.waiting, counted.none_fits FROM topics
JOIN groupings ON groupings.id = grouping_id JOIN (
  SELECT topic_id, count(*) FILTER (WHERE NOT none_fits) AS waiting, count(*) FILTER (WHERE none_fits) AS none_fits
  FROM {_PRESENT} present GROUP BY topic_id) counted ON topic_id = topics.id
WHERE kind = :kind ORDER BY counted.waiting + counted.none_fits DESC, topics.id
""")  # noqa: S608 - of constants alone
_TYPICAL = text(f"""
SELECT topic_id, document_id FROM (
  SELECT *, row_number() OVER (PARTITION BY topic_id ORDER BY place) AS nth FROM {_PRESENT} present
  WHERE topic_id = ANY(:topics)) typical
WHERE nth <= :each ORDER BY topic_id, nth
""")  # noqa: S608 - of constants alone
_COUNT = text(f"""
SELECT count(*) FILTER (WHERE NOT none_fits) AS waiting, count(*) FILTER (WHERE none_fits) AS none_fits
FROM {_PRESENT} present WHERE topic_id = :id
""")  # noqa: S608 - of constants alone
_PROPOSED = text(f"""
SELECT topic_id, proposed_label AS name FROM {_PRESENT} present
JOIN reviews ON reviews.document_id = present.document_id
WHERE none_fits AND proposed_label IS NOT NULL AND {stands()}
AND (CAST(:topics AS integer[]) IS NULL OR topic_id = ANY(:topics))
""")  # noqa: S608 - of constants alone
_NAMES = text("SELECT name FROM labels WHERE name = ANY(:names)")
_HOLDING = text(f"""
SELECT topics.id, words, size, copies, aside_at, counted.waiting, counted.none_fits FROM topics JOIN (
  SELECT topic_id, count(*) FILTER (WHERE NOT none_fits) AS waiting, count(*) FILTER (WHERE none_fits) AS none_fits
  FROM {_PRESENT} present WHERE document_id = ANY(:ids) GROUP BY topic_id) counted ON topic_id = topics.id
WHERE topics.id IN ({_OF_KIND}) ORDER BY counted.waiting + counted.none_fits DESC, topics.id
""")  # noqa: S608 - of constants alone
_GET = text("""
SELECT topics.id, words, size, copies, aside_at, kind FROM topics JOIN groupings ON groupings.id = grouping_id
WHERE topics.id = :id
""")
_SET_ASIDE = text("UPDATE topics SET aside_at = CASE WHEN :aside THEN now() END WHERE id = :id RETURNING id")


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


class Listed(NamedTuple):
    """A topic; ``aside_at``: since when it is put aside.

    ``waiting``: how many of its documents are undecided now; ``none_fits``: how many people decided "none fits", of
    what may be a new label.
    """

    id: int
    words: list[str]
    size: int
    copies: bool
    aside_at: Any
    waiting: int
    none_fits: int = 0


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


def ask(session: Session) -> None:
    """Ask for groupings of all kinds, unless they are asked for or running. The caller commits."""
    session.execute(_ASK, {"kinds": list(KINDS), "lost": _LOST_S})


def due(session: Session, every_s: float, least: Mapping[Kind, int]) -> bool:
    """Whether a grouping is to be made: one is asked for, or the last one of a kind is old.

    Args:
        least: documents, below which nothing is grouped; topics that there are go then.
    """
    if session.scalar(_OPEN, {"lost": _LOST_S}) is not None:
        return True
    return any(_is_due(session, kind, every_s, least[kind]) for kind in KINDS)


def _is_due(session: Session, kind: Kind, every_s: float, least: int) -> bool:
    age = session.scalar(_SINCE_NEWEST, {"kind": kind})
    if age is not None and age < every_s:
        return False
    if session.scalar(_HAS_TOPICS, {"kind": kind}):
        return True
    if kind == UNDECIDED:
        return waiting(session, least) >= least
    return bool(session.scalar(_MAY_BE, {"least": least}))


def begin(session: Session, kind: Kind) -> int:
    """Take the grouping of this kind that is asked for, or a new one; returns its id. The caller commits."""
    found = session.scalar(_BEGIN, {"kind": kind, "lost": _LOST_S})
    return int(found if found is not None else session.execute(_NEW, {"kind": kind}).scalar_one())


def store(
    session: Session,
    grouping_id: int,
    kind: Kind,
    groups: Sequence[tuple[list[int], list[str], bool]],
    reads: Sequence[Read],
) -> None:
    """Store topics in place of those before of their kind. The caller commits.

    A topic stays put aside if most of its documents that had a topic before were put aside.

    Args:
        groups: of each its documents, the most typical first, its words, and whether all are copies of one text.
    """
    ids = [each for members, *_ in groups for each in members]
    # Before rows of topics: erasure takes these locks in the same order.
    there = set(session.scalars(_HOLD, {"ids": ids}))
    before = {row.document_id: row.aside_at for row in session.execute(_ASIDE, {"ids": ids, "kind": kind})}
    session.execute(_NO_DOCUMENTS, {"kind": kind})
    session.execute(_NO_TOPICS, {"kind": kind})
    kept = [([each for each in members if each in there], words, copies) for members, words, copies in groups]
    kept = [each for each in kept if each[0]]
    of_text = {row.id: (row.content_hash, row.times) for read in reads for row in read.texts}
    rows = [
        {
            "place": place,
            "words": words,
            "size": _size(members, of_text),
            "copies": copies,
            "aside_at": _aside(members, before),
        }
        for place, (members, words, copies) in enumerate(kept)
    ]
    asked = {"grouping_id": grouping_id, "rows": orjson.dumps(rows).decode()}
    topics = sorted(session.scalars(_ADD_TOPICS, asked))
    session.execute(_ADD_DOCUMENTS, {
        "ids": [each for members, *_ in kept for each in members],
        "topics": [topic for topic, (members, *_) in zip(topics, kept, strict=True) for _ in members],
        "places": [place for members, *_ in kept for place in range(len(members))],
    })  # fmt: skip
    end(session, grouping_id, documents=sum(len(members) for members, *_ in kept), reads=reads)


def end(
    session: Session, grouping_id: int, documents: int = 0, reads: Sequence[Read] = (), error: str | None = None
) -> None:
    """End a grouping; older ones are forgotten. The caller commits."""
    counts = {"waiting": 0, "without_vector": 0}
    if reads:  # each has the counts of all
        counts = {"waiting": reads[0].waiting, "without_vector": reads[0].without_vector}
    session.execute(_END, {"id": grouping_id, "documents": documents, "error": error, **counts})
    if error is None:
        session.execute(_NO_GROUPINGS, {"id": grouping_id})


def shown(session: Session, kind: Kind = UNDECIDED) -> Row[Any] | None:
    """The newest grouping of a kind that has ended, or failed; None: there was none yet."""
    return session.execute(_SHOWN, {"kind": kind}).one_or_none()


def running(session: Session, kind: Kind = UNDECIDED) -> Row[Any] | None:
    """The grouping of a kind that is asked for or running; None: there is none."""
    return session.execute(_RUNNING, {"kind": kind}).one_or_none()


def listing(session: Session, kind: Kind = UNDECIDED) -> list[Listed]:
    """The topics of a kind that still have documents, the largest first."""
    return [Listed(*row) for row in session.execute(_LISTING, {"kind": kind, "blind": list(BLIND)})]


def typical(session: Session, topics: Sequence[int], each: int) -> dict[int, list[int]]:
    """Ids of the most typical documents that topics still have, at most ``each`` of one, by topic."""
    found: dict[int, list[int]] = {topic: [] for topic in topics}
    for row in session.execute(_TYPICAL, {"topics": list(topics), "each": each, "blind": list(BLIND)}):
        found[row.topic_id].append(row.document_id)
    return found


def count(session: Session, topic_id: int) -> Row[Any]:
    """How many of a topic's documents are undecided now (waiting), and were decided none_fits."""
    return session.execute(_COUNT, {"id": topic_id, "blind": list(BLIND)}).one()


def proposed(session: Session, topics: Sequence[int] | None = None) -> dict[int, Counter[str]]:
    """Labels that reviewers proposed at "none fits", how often, by topic of what may be a new label.

    Names of labels that there are now are left out.

    Args:
        topics: those that are asked for; None: all.
    """
    rows = session.execute(_PROPOSED, {"topics": None if topics is None else list(topics), "blind": list(BLIND)})
    found: dict[int, Counter[str]] = {}
    for row in rows:
        with suppress(InvalidInputError):  # stored before the rule for names existed
            found.setdefault(row.topic_id, Counter())[clean_label_name(row.name)] += 1
    there = set(session.scalars(_NAMES, {"names": [name for names in found.values() for name in names]}))
    return {
        topic: Counter({name: times for name, times in names.items() if name not in there})
        for topic, names in found.items()
    }


def holding(session: Session, ids: Sequence[int]) -> list[Listed]:
    """Topics of what may be a new label that hold some of these documents, the one with most of them first.

    ``waiting`` and ``none_fits`` count these documents alone.
    """
    asked = {"kind": NEW_LABEL, "ids": list(ids), "blind": list(BLIND)}
    return [Listed(*row) for row in session.execute(_HOLDING, asked)]


def get(session: Session, topic_id: int) -> Row[Any]:
    """One topic.

    Raises:
        NotFoundError: there is none with this id any more.
    """
    found = session.execute(_GET, {"id": topic_id}).one_or_none()
    if found is None:
        raise NotFoundError("the topics were grouped again meanwhile, and this one is gone; look at the new ones")
    return found


def put_aside(session: Session, topic_id: int, aside: bool, actor: str) -> None:
    """Put a topic aside, or bring it back. The caller commits.

    Raises:
        NotFoundError: there is none with this id any more.
    """
    if session.scalar(_SET_ASIDE, {"id": topic_id, "aside": aside}) is None:
        get(session, topic_id)
    session.add(
        AuditEvent(actor=actor, action="topic put aside" if aside else "topic back", subject=f"topic:{topic_id}")
    )


def _size(members: Sequence[int], of_text: Mapping[int, tuple[bytes, int]]) -> int:
    """How many documents have the texts of a topic's members: of many copies only some are members."""
    here = Counter(of_text[each][0] for each in members)
    times = dict(of_text[each] for each in members)
    return sum(max(count, times[content_hash]) for content_hash, count in here.items())


def _aside(members: Sequence[int], before: dict[int, Any]) -> Any:
    known = [before[each] for each in members if each in before]
    aside = [each for each in known if each is not None]
    return min(aside) if 2 * len(aside) > len(known) else None
