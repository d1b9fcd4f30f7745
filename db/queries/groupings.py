"""Queries on groupings: requests to group documents into topics, and how the topics that were found are stored.

A row of `groupings` is a request; a process that housekeeping starts takes it, and stores its topics in place of those
before of its kind. Undecided documents that are like a topic of what may be a new label join it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.queries.grouping_input import Read, waiting

Kind = Literal["undecided", "new_label"]
UNDECIDED: Kind = "undecided"
NEW_LABEL: Kind = "new_label"
KINDS: tuple[Kind, ...] = (UNDECIDED, NEW_LABEL)
_LOST_S = 1800  # after which a grouping's process is taken for dead
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
OF_KIND = "SELECT topics.id FROM topics JOIN groupings ON groupings.id = grouping_id WHERE kind = :kind"
_ASIDE = text(f"""
SELECT document_id, aside_at FROM topic_documents JOIN topics ON topics.id = topic_id
WHERE document_id = ANY(:ids) AND topics.id IN ({OF_KIND})
""")  # noqa: S608 - of constants alone
_NO_DOCUMENTS = text(f"DELETE FROM topic_documents WHERE topic_id IN ({OF_KIND})")  # noqa: S608
_NO_TOPICS = text(f"DELETE FROM topics WHERE id IN ({OF_KIND})")  # noqa: S608
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


def _size(members: Sequence[int], of_text: Mapping[int, tuple[bytes, int]]) -> int:
    """How many documents have the texts of a topic's members: of many copies only some are members."""
    here = Counter(of_text[each][0] for each in members)
    times = dict(of_text[each] for each in members)
    return sum(max(count, times[content_hash]) for content_hash, count in here.items())


def _aside(members: Sequence[int], before: dict[int, Any]) -> Any:
    known = [before[each] for each in members if each in before]
    aside = [each for each in known if each is not None]
    return min(aside) if 2 * len(aside) > len(known) else None
