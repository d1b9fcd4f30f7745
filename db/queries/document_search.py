"""Search documents by text, source, prediction and decision; results have the newest first.

`standing` defines the newest text, the newest prediction and the standing decision. If a document was sent with several
texts, the search finds the newest; ``all_texts`` finds the others too, and ``decided_texts`` those that people decided.
Imported documents have no prediction. Words are found once a document is in the search index, a moment after it was
stored (`db.queries.search_index`).

`within` bounds the time of slow queries.
"""

import re
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.errors import QueryCanceled
from sqlalchemy import TextClause, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.queries import labels
from db.queries.standing import (
    is_newest_prediction,
    is_newest_text,
    is_standing_decision,
    newest_prediction,
    standing_decision,
)
from sortline.errors import InvalidInputError

STATES = ("waiting", "reviewed", "undecided")
# Reasons of decisions whose documents were in no queue.
MADE_ELSEWHERE = ("import", "upstream", "bulk")
_PART = 1_000
_PATIENCE_S = 300  # seconds that a reader of `every` may take between two pages

# Reviewers who may decide these must not see predictions or other people's decisions first: that would sway them.
BLIND = ("audit", "overlap", "repeat", "shadow")

_PREDICTED = f"""
EXISTS (SELECT FROM predictions p WHERE p.document_id = d.id AND {{conditions}} AND {is_newest_prediction("p")})
"""
_DECIDED = f"""
EXISTS (SELECT FROM reviews r WHERE r.document_id = d.id AND {{conditions}} AND {is_standing_decision("r")})
"""
_WAITS = "EXISTS (SELECT FROM queue_items i WHERE i.document_id = d.id AND {conditions})"
_FOUND = """
SELECT d.id, d.received_at FROM {documents} WHERE {conditions}
ORDER BY {at} DESC, {id} DESC LIMIT :limit
"""
_PARSED = text("SELECT CAST(websearch_to_tsquery('simple', :words) AS text)")
_PARSED_WORD = re.compile(r"'((?:[^']|'')*)'")
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_PERSON = text("SELECT id FROM users WHERE name = :name")
_COUNT = "SELECT count(*) FROM (SELECT FROM {documents} WHERE {conditions} LIMIT :most) counted"
# Where a search finds its documents, and the columns that it orders them by. Documents with given words come from the
# search index, sorted by what is stored there: of a frequent word's many, only those that are shown are read.
_ALL = {"documents": "documents d", "at": "d.received_at", "id": "d.id"}
_WITH_WORDS = {
    "documents": """(
      SELECT document_id, received_at FROM search_index WHERE words @@ CAST(:words AS tsquery)
      ORDER BY received_at DESC, document_id DESC) w JOIN documents d ON d.id = w.document_id""",
    "at": "w.received_at", "id": "w.document_id",
}  # fmt: skip
_ROWS = text(f"""
SELECT d.id, d.source, d.external_id, left(d.text, :chars) AS text, d.meta, d.received_at, d.lane,
  said_label.name AS predicted, said.confidence, said.decision, said.fit, said.model_version_id,
  CASE WHEN :probabilities THEN said.probabilities END AS probabilities,
  standing.action, decided_label.name AS decided, users.name AS reviewer, standing.created_at AS decided_at,
  standing.note, standing.reason AS decided_because, queue_items.reason AS waits_because,
  unpredicted.document_id IS NOT NULL
FROM documents d
LEFT JOIN LATERAL {newest_prediction("d.id")} said ON true
LEFT JOIN LATERAL {standing_decision("d.id")} standing ON true
LEFT JOIN queue_items ON queue_items.document_id = d.id
LEFT JOIN unpredicted ON unpredicted.document_id = d.id
LEFT JOIN labels said_label ON said_label.id = said.label_id
LEFT JOIN labels given ON given.id = standing.label_id
LEFT JOIN labels decided_label ON decided_label.id = coalesce(given.merged_into_id, given.id)
LEFT JOIN users ON users.id = standing.reviewer_id
WHERE d.id = ANY(:ids) ORDER BY d.received_at DESC, d.id DESC
""")  # noqa: S608 - of constants alone


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on documents, all of which must hold; a field that is None is no condition.

    ``words``: full text, in the syntax of web search engines ("a phrase", or, -without). ``since`` is inclusive,
    ``until`` exclusive. ``predicted`` (a label), ``decision`` (accept or review), ``confidence_from``,
    ``confidence_to``, ``fit_from`` and ``fit_to`` (0 to 1, all inclusive) and ``model_version`` apply to the newest
    prediction; ``decided`` (a label) and ``reviewer`` (a name) to the standing decision. ``state``: waiting (for a
    person), reviewed (there is a standing decision) or undecided (there is none). ``reason``: why the document waits;
    with the state reviewed, or for a reason that no document waits for, why it was decided.

    ``blind``: the person may have to decide documents that wait for an audit, a second opinion or a repeat. Searches by
    prediction or decision then leave those out.
    """

    words: str | None = None
    source: str | None = None
    external_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    predicted: str | None = None
    decision: str | None = None
    confidence_from: float | None = None
    confidence_to: float | None = None
    fit_from: float | None = None
    fit_to: float | None = None
    model_version: int | None = None
    state: str | None = None
    decided: str | None = None
    reviewer: str | None = None
    reason: str | None = None
    all_texts: bool = False
    decided_texts: bool = False
    blind: bool = False


class Cursor(NamedTuple):
    """The end of a page: arrival time and id of its last document."""

    received_at: datetime
    id: int


class Found(NamedTuple):
    """A document with its newest prediction and its standing decision.

    ``probabilities`` are in the order of the model version's label_ids. ``decided`` is None if no label fits.
    ``decided_because`` is None if nobody has decided it, and ``waits_because`` None if it waits for nobody.
    ``unpredicted``: it waits for its first prediction.
    """

    id: int
    source: str
    external_id: str
    text: str
    meta: dict[str, Any] | None
    received_at: datetime
    lane: str
    predicted: str | None
    confidence: float | None
    decision: str | None
    fit: float | None
    model_version_id: int | None
    probabilities: list[float] | None
    action: str | None
    decided: str | None
    reviewer: str | None
    decided_at: datetime | None
    note: str | None
    decided_because: str | None
    waits_because: str | None
    unpredicted: bool = False


class Page(NamedTuple):
    """Documents, and where the next page begins; None: this is the last page."""

    rows: list[Found]
    after: Cursor | None


def search(session: Session, filters: Filters, after: Cursor | None, limit: int, chars: int | None = None) -> Page:
    """A page of documents, the newest first.

    Args:
        chars: number of characters of each text; None: all.

    Raises:
        InvalidInputError: there is no such label or person.
    """
    query, values = _query(session, _FOUND, filters, after)
    found = session.execute(query, {**values, "limit": limit + 1}).all()
    last = Cursor(found[limit - 1].received_at, found[limit - 1].id) if len(found) > limit else None
    return Page(rows(session, [row.id for row in found[:limit]], chars), last)


def every(session: Session, filters: Filters, probabilities: bool = False) -> Iterator[Found]:
    """All documents, the newest first, with whole texts; needs little memory for any number of them.

    The result is fixed when the first row is read; documents that are erased meanwhile are left out. A database cursor
    stays open until the end, so the session must not commit before. Postgres ends the session of a reader that pauses
    for five minutes, so that it does not keep old rows alive for ever.

    Raises:
        InvalidInputError: there is no such label or person; raised at the first row.
        OperationalError: Postgres ended the query, perhaps because the reader paused; rows are missing.
    """
    query, values = _query(session, _FOUND, filters, None)
    patience = text("SELECT set_config('idle_in_transaction_session_timeout', :ms, true)")
    session.execute(patience, {"ms": str(int(1000 * _PATIENCE_S))})
    streamed = session.connection().execute(
        query, {**values, "limit": None}, execution_options={"stream_results": True, "max_row_buffer": _PART}
    )
    for part in streamed.partitions(_PART):
        yield from rows(session, [row.id for row in part], None, probabilities)


def count(session: Session, filters: Filters, most: int) -> int:
    """The number of documents, counted up to ``most``.

    Raises:
        InvalidInputError: there is no such label or person.
    """
    query, values = _query(session, _COUNT, filters, None)
    return int(session.scalar(query, {**values, "most": most}) or 0)


def first_ids(session: Session, filters: Filters, limit: int) -> list[int]:
    """Ids of the newest documents.

    Raises:
        InvalidInputError: there is no such label or person.
    """
    query, values = _query(session, _FOUND, filters, None)
    return [row.id for row in session.execute(query, {**values, "limit": limit})]


def rows(session: Session, ids: Sequence[int], chars: int | None = None, probabilities: bool = False) -> list[Found]:
    """The documents with these ids, the newest first, with the first ``chars`` characters of their texts or all."""
    asked = {"ids": list(ids), "chars": 2**31 - 1 if chars is None else chars, "probabilities": probabilities}
    return [Found(*row) for row in session.execute(_ROWS, asked)]


@contextmanager
def within(session: Session, seconds: float) -> Iterator[None]:
    """Limit the time of each query; a query that takes longer is cancelled, and the transaction rolled back.

    Raises:
        InvalidInputError: a query took longer.
    """
    limit = text("SELECT set_config('statement_timeout', :ms, true)")
    session.execute(limit, {"ms": str(int(1000 * seconds))})
    try:
        yield
    except OperationalError as error:
        session.rollback()
        if not isinstance(error.orig, QueryCanceled):
            raise
        raise InvalidInputError("That took too long; narrow it, for example by dates.") from None
    session.execute(limit, {"ms": "0"})


def _query(session: Session, query: str, filters: Filters, after: Cursor | None) -> tuple[TextClause, dict[str, Any]]:
    found_in = _ALL if filters.words is None else _WITH_WORDS
    conditions, values = _conditions(session, filters, found_in["at"])
    if filters.words is not None:
        values["words"] = _in_any_case(session, filters.words)
    if after is not None:
        conditions.append(f"({found_in['at']}, {found_in['id']}) < (:after_at, :after_id)")
        values |= {"after_at": after.received_at, "after_id": after.id}
    return text(query.format(conditions=" AND ".join(conditions) or "true", **found_in)), values


def _in_any_case(session: Session, words: str) -> str:
    """What Postgres searches for, with each word as it may be written: in lower case, in capitals, or with one.

    Postgres indexes words in lower case, but in the locale C, which our own server has, it knows only ASCII's capitals.

    Raises:
        InvalidInputError: the search contains no word.
    """
    parsed: str = session.scalar(_PARSED, {"words": words}) or ""
    if not parsed:
        raise InvalidInputError(f"The search {words[:100]!r} contains no word.")
    return _PARSED_WORD.sub(_cases, parsed)


def _cases(found: re.Match[str]) -> str:
    word = found[1]
    forms = dict.fromkeys(
        each.translate(_ASCII_LOWER) for each in (word, word.lower(), word.upper(), word.capitalize())
    )
    return "(" + " | ".join(f"'{each}'" for each in forms) + ")"


def _conditions(session: Session, filters: Filters, at: str) -> tuple[list[str], dict[str, Any]]:
    """SQL made only of constants, and the values of its parameters; ``at``: the column of the time of arrival."""
    values: dict[str, Any] = {
        "words": filters.words, "source": filters.source, "external_id": filters.external_id,
        "since": filters.since, "until": filters.until, "reason": filters.reason,
        "decision": filters.decision, "version": filters.model_version, "least": filters.confidence_from,
        "most_sure": filters.confidence_to, "least_fit": filters.fit_from, "most_fit": filters.fit_to,
        "predicted": _id(session, "label", filters.predicted),
        "decided": _with_merged(session, _id(session, "label", filters.decided)),
        "reviewer": _id(session, "person", filters.reviewer),
    }  # fmt: skip
    of_document = {
        "source": "d.source = :source", "external_id": "d.external_id = :external_id",
        "since": f"{at} >= :since", "until": f"{at} < :until",
    }  # fmt: skip
    of_prediction = {
        "predicted": "p.label_id = :predicted", "decision": "p.decision = :decision",
        "version": "p.model_version_id = :version", "least": "p.confidence >= CAST(:least AS real)",
        "most_sure": "p.confidence <= CAST(:most_sure AS real)",
        "least_fit": "p.fit >= CAST(:least_fit AS real)", "most_fit": "p.fit <= CAST(:most_fit AS real)",
    }  # fmt: skip
    of_decision = {"decided": "r.label_id = ANY(:decided)", "reviewer": "r.reviewer_id = :reviewer"}
    if filters.state == "reviewed" or filters.reason in MADE_ELSEWHERE:
        of_decision["reason"] = "r.reason = :reason"
    given = {name: value for name, value in values.items() if value is not None}  # words are where it searches
    found = [condition for name, condition in of_document.items() if name in given]
    predicted = [condition for name, condition in of_prediction.items() if name in given]
    decided = [condition for name, condition in of_decision.items() if name in given]
    if predicted:
        found.append(_PREDICTED.format(conditions=" AND ".join(predicted)))
    if decided or filters.state == "reviewed":
        found.append(_DECIDED.format(conditions=" AND ".join(decided) or "true"))
    if filters.state == "undecided":
        found.append("NOT " + _DECIDED.format(conditions="true"))
    if filters.state == "waiting":
        found.append(_WAITS.format(conditions="true"))
    if filters.reason is not None and "reason" not in of_decision:
        found.append(_WAITS.format(conditions="i.reason = :reason"))
    if filters.blind and (predicted or decided or filters.reason):
        found.append("NOT " + _WAITS.format(conditions="i.reason = ANY(:blind)"))
        given["blind"] = list(BLIND)
    if not filters.all_texts:
        kept = f" OR {_DECIDED.format(conditions='true')}" if filters.decided_texts else ""
        found.append(f"({is_newest_text('d')}{kept})")
    return found, given


def _with_merged(session: Session, label_id: int | None) -> list[int] | None:
    """The label and the labels merged into it, whose decisions count as its own."""
    if label_id is None:
        return None
    return [label_id, *(id_ for id_, into in labels.merged(session).items() if into == label_id)]


def _id(session: Session, kind: str, name: str | None) -> int | None:
    """Id of a label or a person by name; with an id, the planner can estimate how frequent it is."""
    if name is None:
        return None
    found: int | None = labels.id_named(session, name) if kind == "label" else session.scalar(_PERSON, {"name": name})
    if found is None and kind == "label":
        found = _id_alike(session, name)
    if found is None:
        raise InvalidInputError(f"There is no {kind} {name[:100]!r}.")
    return found


def _id_alike(session: Session, name: str) -> int | None:
    """Id of the only label that what was typed can mean, if it is not exactly its name."""
    found = labels.alike(session, name)
    if len(found) > 1:
        names = ", ".join(label for _, label in found)
        raise InvalidInputError(f"There are several labels like {name[:100]!r}: {names}. Type one of them exactly.")
    return found[0][0] if found else None
