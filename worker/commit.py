"""Commit micro-batches to Postgres in one transaction, and build the events to publish after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import random
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

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
    rows: dict[Key, dict[str, Any]] = {}
    events: list[tuple[Key, ResultEvent]] = []
    probabilities = [np.asarray(batch.probabilities, np.float32).ravel() for batch in batches]
    firsts = np.cumsum([0, *map(len, probabilities)]).tolist()
    vectors: list[NDArray[np.float32]] = []
    place, at = 1, now()
    for batch, first in zip(batches, firsts, strict=False):
        made = _rows(batch, first, at)
        if batch.model is not None and batch.model.encoder_id is not None:
            chosen = kept.choose(session, [row for _, row, _ in made])
            for index in chosen:
                row = made[index][1]
                row["encoder"], row["vector"] = batch.model.encoder_id, place
                place += 1
            vectors.append(batch.vectors[chosen])
        for key, row, event in made:
            earlier = rows.get(key)
            if earlier is None or order(earlier["entry_id"]) < order(row["entry_id"]):
                rows[key] = row
            events.append((key, event))
    given = VectorArray(vectors)
    known = store_batch(session, _packed(rows), np.concatenate(probabilities), kept.audits, given, kept.newest)
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
    known = store_unpredicted(session, _packed(rows), audits)
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


def _packed(rows: dict[Key, dict[str, Any]]) -> str:
    # In order, so that two workers with the same documents lock them in the same order and can't deadlock.
    ordered = [rows[key] for key in sorted(rows)]
    return orjson.dumps(ordered, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def is_the_documents_fault(error: Exception) -> bool:
    """Whether Postgres refused the rows themselves. Any other error is an outage, and the worker waits it out.

    Postgres raises class 54 (program limit exceeded) for values that do not fit into a page or an index.
    """
    if isinstance(error, DataError | IntegrityError):
        return True
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return isinstance(state, str) and state.startswith(("22", "54"))


def _rows(batch: MicroBatch, first: int, at: str) -> list[tuple[Key, dict[str, Any], ResultEvent]]:
    """Key, row and event of each entry; ``first``: index of the batch's first probability among all batches'."""
    classifier, model = batch.classifier, batch.model
    assert model is not None
    version, form, revision = model.version_id, model.form, model.revision
    best, confidence, accepted = classifier.decide(batch.probabilities, batch.fit)
    fits = batch.fit.tolist()
    label_ids, labels = classifier.checkpoint.label_ids, classifier.checkpoint.labels
    margins = margin(batch.probabilities)
    count = batch.probabilities.shape[1]
    rows = []
    for i, (entry, prepared) in enumerate(zip(batch.entries, batch.prepared, strict=True)):
        index, sure = int(best[i]), float(confidence[i])
        decision = "accept" if accepted[i] else "review"
        row = {  # as `_document`, written out: one dictionary a document is a twentieth of the worker's own work
            "source": entry.source,
            "id": entry.id,
            "hash": entry.content_hash,
            "text": entry.text,
            "repaired": entry.repaired,
            "meta": orjson.Fragment(entry.meta) if entry.meta is not None else None,
            "lane": entry.lane,
            "entry_id": entry.entry_id,
            "version": version,
            "form": form,
            "revision": revision,
            "label": label_ids[index],
            "confidence": sure,
            "fit": fits[i],
            "first": first + i * count,
            "labels": count,
            "decision": decision,
            "windows": len(prepared.windows),
            "truncated": prepared.truncated,
            "margin": margins[i],
            "unknown_share": prepared.unknown_share,
            "chance": random(),  # noqa: S311 - a draw, no secret
        }
        event = classified(entry.source, entry.id, labels[index], sure, decision, fits[i], version, form, at)
        rows.append(((entry.source, entry.id, entry.content_hash), row, event))
    return rows


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
