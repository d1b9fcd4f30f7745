"""Commit micro-batches to Postgres in one transaction, and build the events to publish after it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from db.incoming_documents import IncomingDocuments, pack
from db.queries.intake import AuditShares, Key, StoredPrediction, bury, store_batch, store_unpredicted
from db.vector_array import VectorArray
from sortline.events import ResultEvent, classified, dead, now
from sortline.queue import order
from worker.entry import Entry
from worker.kept_vectors import KeptVectors
from worker.micro_batch import MicroBatch
from worker.subscriptions import Subscriptions


@dataclass(frozen=True, slots=True)
class DeadEntry:
    """An entry that becomes a dead letter, and why."""

    entry: Entry
    reason: str
    detail: str
    attempts: int


def commit_batches(
    session: Session, batches: Sequence[MicroBatch], kept: KeptVectors, subscriptions: Subscriptions
) -> list[ResultEvent]:
    """Store finished micro-batches' documents, predictions, vectors and webhook events in one transaction.

    Args:
        kept: which vectors are stored, and how likely documents are drawn for audits.

    Returns:
        The `classified` event of each entry, in order. An entry has none if its document was erased meanwhile, or if
        it waits for its first prediction (`worker.first_predictions`).
    """
    rows: dict[Key, tuple[str, bytes]] = {}
    events: list[tuple[Key, ResultEvent]] = []
    probabilities = [np.asarray(batch.probabilities, np.float32).ravel() for batch in batches]
    vectors: list[NDArray[np.float32]] = []
    first, place, at = 0, 1, now()
    for batch in batches:
        answers = _answers(batch)
        numbers = _numbers(batch, answers, first)
        first += batch.probabilities.size
        if numbers["encoder"]:
            chosen = kept.choose(session, answers.accepted, answers.chances)
            numbers["vector"] = places = np.zeros(len(batch), np.int32)
            places[chosen] = place + np.arange(len(chosen))
            place += len(chosen)
            vectors.append(batch.vectors[chosen])
        made = zip(batch.entries, _rows(batch, numbers), _events(batch, answers, at), strict=True)
        for entry, row, event in made:
            key = _key(entry)
            earlier = rows.get(key)
            if earlier is None or order(earlier[0]) < order(entry.entry_id):
                rows[key] = entry.entry_id, row
            events.append((key, event))
    incoming = IncomingDocuments([rows[key][1] for key in sorted(rows)])  # sorted for the same reason as in `_json`
    given = VectorArray(vectors)
    known = store_batch(session, incoming, np.concatenate(probabilities), kept.audits, given, kept.newest)
    stored = [(_as_stored(event, known[key]) if key in known else event, key[2]) for key, event in events]
    return _finish(session, stored, subscriptions)


def commit_unpredicted(
    session: Session, batches: Sequence[MicroBatch], audits: AuditShares, subscriptions: Subscriptions
) -> list[ResultEvent] | None:
    """Store documents without predictions, in one transaction, if no model version is active.

    Returns:
        The `classified` event of each entry whose document has a prediction from earlier; None: a version is active,
        so nothing was stored.
    """
    rows: dict[Key, dict[str, Any]] = {}
    entries = [entry for batch in batches for entry in batch.entries]
    for entry in sorted(entries, key=lambda entry: order(entry.entry_id)):  # of the same text, the last one stays
        rows[_key(entry)] = _document(entry)
    known = store_unpredicted(session, _json(rows), audits)
    if known is None:
        return None
    at = now()
    stored = [
        (classified(entry.source, entry.id, *found, at), entry.content_hash)
        for entry in entries
        if (found := known.get(_key(entry))) is not None
    ]
    return _finish(session, stored, subscriptions)


def commit_dead(session: Session, given_up: Sequence[DeadEntry], subscriptions: Subscriptions) -> list[ResultEvent]:
    """Store dead letters and their webhook events in one transaction.

    Returns:
        The `dead` event of each entry that was not erased meanwhile.
    """
    erased = bury(session, [letter(item) for item in given_up])
    at = now()
    kept = [item for item in given_up if (item.entry.lane, item.entry.entry_id) not in erased]
    events = [dead(item.entry.source, item.entry.id, item.reason, at) for item in kept]
    subscriptions.add_events(session, [(event, None) for event in events])
    session.commit()
    return events


def _finish(
    session: Session, stored: Sequence[tuple[ResultEvent | None, str]], subscriptions: Subscriptions
) -> list[ResultEvent]:
    """Add webhook events, commit, and return the events to publish; each comes with the hash of its text."""
    kept = [(event, hash) for event, hash in stored if event is not None]
    subscriptions.add_events(session, kept)
    session.commit()
    return [event for event, _ in kept]


def _json(rows: dict[Key, dict[str, Any]]) -> str:
    # In order, so that two workers with the same documents lock them in the same order and can't deadlock.
    return orjson.dumps([rows[key] for key in sorted(rows)]).decode()


def is_the_documents_fault(error: Exception) -> bool:
    """Whether Postgres refused the rows themselves. Any other error is an outage, and the worker waits it out.

    Postgres raises class 54 (program limit exceeded) for values that do not fit into a page or an index.
    """
    if isinstance(error, DataError | IntegrityError):
        return True
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return isinstance(state, str) and state.startswith(("22", "54"))


class _Answers(NamedTuple):
    """What a model said of the n documents of a batch: the index of the likeliest label, its probability, whether that
    is accepted, and the number that draws each for an audit.
    """

    best: NDArray[np.int64]
    confidence: NDArray[np.float32]
    accepted: NDArray[np.bool_]
    chances: NDArray[np.float64]


def _answers(batch: MicroBatch) -> _Answers:
    chances = np.random.default_rng().random(len(batch))  # of its own: threads share none
    return _Answers(*batch.classifier.decide(batch.probabilities, batch.fit), chances)


def _numbers(batch: MicroBatch, answers: _Answers, first: int) -> dict[str, ArrayLike]:
    """What `db.incoming_documents.pack` wants; ``first``: index of the batch's first probability among all batches'."""
    model, prepared = batch.model, batch.prepared
    assert model is not None
    labels = batch.probabilities.shape[1]
    return {
        "version": model.version_id,
        "revision": model.revision or 0,
        "label": np.array(batch.classifier.checkpoint.label_ids)[answers.best],
        "confidence": answers.confidence,
        "fit": batch.fit,
        "margin": margin(batch.probabilities),
        "first": first + labels * np.arange(len(batch)),
        "labels": labels,
        "accepted": answers.accepted,
        "repaired": [entry.repaired for entry in batch.entries],
        "truncated": [each.truncated for each in prepared],
        "windows": [len(each.windows) for each in prepared],
        "unknown_share": [math.nan if each.unknown_share is None else each.unknown_share for each in prepared],
        "encoder": model.encoder_id or 0,
        "vector": 0,
        "chance": answers.chances,
    }


def _rows(batch: MicroBatch, numbers: Mapping[str, ArrayLike]) -> list[bytes]:
    assert batch.model is not None
    texts = ((each.source, each.id, each.content_hash, each.text, each.entry_id, each.meta) for each in batch.entries)
    return pack(batch.lane, batch.model.form, texts, len(batch), numbers)


def _events(batch: MicroBatch, answers: _Answers, at: str) -> Iterator[ResultEvent]:
    model, labels = batch.model, batch.classifier.checkpoint.labels
    assert model is not None
    version, form = model.version_id, model.form
    answered = zip(*(each.tolist() for each in (*answers[:3], batch.fit)), strict=True)
    for entry, (best, confidence, accepted, fit) in zip(batch.entries, answered, strict=True):
        decision = "accept" if accepted else "review"
        yield classified(entry.source, entry.id, labels[best], confidence, decision, fit, version, form, at)


def _key(entry: Entry) -> Key:
    return entry.source, entry.id, entry.content_hash


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "source": entry.source,
        "id": entry.id,
        "hash": entry.content_hash,
        "text": entry.text,
        "repaired": entry.repaired,
        "meta": orjson.Fragment(entry.meta) if entry.meta is not None else None,
        "lane": entry.lane,
        "entry_id": entry.entry_id,
    }


def margin(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Difference (n,) between the largest and the second largest of probabilities (n, labels)."""
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0], np.float32)


def _as_stored(event: ResultEvent, stored: StoredPrediction | None) -> ResultEvent | None:
    return stored and classified(event.source, event.id, *stored, event.at)


def letter(given_up: DeadEntry) -> dict[str, Any]:
    """The row of a dead letter, as `db.queries.intake.bury` takes it."""
    entry = given_up.entry
    return {
        "lane": entry.lane,
        "entry_id": entry.entry_id,
        "source": entry.source or None,
        "external_id": entry.id or None,
        "reason": given_up.reason,
        "detail": given_up.detail[:2000].replace("\x00", "\N{REPLACEMENT CHARACTER}"),
        "raw": entry.packed(),
        "attempts": given_up.attempts,
    }
