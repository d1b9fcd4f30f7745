"""Micro-batches into Postgres: one transaction, then the events that go with it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from db.queries.intake import StoredPrediction, bury, store_batch
from worker.entry import Entry
from worker.micro_batch import MicroBatch

Fields = list[bytes | str | float]


@dataclass(frozen=True, slots=True)
class DeadEntry:
    """An entry that is given up, and why."""

    entry: Entry
    reason: str
    detail: str
    attempts: int


def commit_batches(session: Session, batches: Sequence[MicroBatch]) -> list[Fields]:
    """Store documents and predictions of finished micro-batches in one transaction.

    Returns:
        The `classified` event of each entry, in their order.
    """
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    events: list[tuple[tuple[str, str, str], Fields]] = []
    at = _now()
    for batch in batches:
        for key, row, event in _rows(batch, at):
            earlier = rows.get(key)
            if earlier is None or _order(earlier["entry_id"]) < _order(row["entry_id"]):
                rows[key] = row
            events.append((key, event))
    # Sorted, so that two workers with the same documents lock them in the same order.
    ordered = [rows[key] for key in sorted(rows)]
    known = store_batch(session, orjson.dumps(ordered, option=orjson.OPT_SERIALIZE_NUMPY).decode())
    session.commit()
    for key, event in events:
        if key in known:
            _say_stored(event, known[key])
    return [event for _, event in events]


def commit_dead(session: Session, dead: Sequence[DeadEntry]) -> list[Fields]:
    """Store dead letters in one transaction; returns the `dead` event of each."""
    bury(session, [_letter(item) for item in dead])
    session.commit()
    at = _now()
    return [
        ["event", "dead", "source", item.entry.source, "id", item.entry.id, "label", "", "confidence", "",
         "decision", item.reason, "model_version", "", "at", at]
        for item in dead
    ]  # fmt: skip


def is_the_documents_fault(error: Exception) -> bool:
    """Whether the database refused the rows themselves; anything else is an outage and is waited out.

    Class 54 (program limit exceeded) is raised for values that fit no page or index.
    """
    if isinstance(error, DataError | IntegrityError):
        return True
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return isinstance(state, str) and state.startswith(("22", "54"))


def _rows(batch: MicroBatch, at: str) -> list[tuple[tuple[str, str, str], dict[str, Any], Fields]]:
    classifier, version = batch.model.classifier, batch.model.version_id
    best, confidence, accepted = classifier.decide(batch.probabilities)
    label_ids, labels = classifier.checkpoint.label_ids, classifier.checkpoint.labels
    probabilities = np.ascontiguousarray(batch.probabilities, dtype=np.float32)
    rows = []
    for i, (entry, prepared) in enumerate(zip(batch.entries, batch.prepared, strict=True)):
        index, sure = int(best[i]), float(confidence[i])
        decision = "accept" if accepted[i] else "review"
        row = {
            "source": entry.source,
            "id": entry.id,
            "hash": entry.content_hash,
            "text": entry.text,
            "repaired": entry.repaired,
            "meta": orjson.Fragment(entry.meta) if entry.meta is not None else None,
            "lane": entry.lane,
            "entry_id": entry.entry_id,
            "version": version,
            "label": label_ids[index],
            "confidence": sure,
            "probabilities": probabilities[i],
            "decision": decision,
            "windows": len(prepared.windows),
            "truncated": prepared.truncated,
        }
        event: Fields = [
            "event", "classified", "source", entry.source, "id", entry.id, "label", labels[index],
            "confidence", f"{sure:.6f}", "decision", decision, "model_version", version, "at", at,
        ]  # fmt: skip
        rows.append(((entry.source, entry.id, entry.content_hash), row, event))
    return rows


def _say_stored(event: Fields, stored: StoredPrediction) -> None:
    event[7], event[9], event[11], event[13] = (
        stored.label,
        f"{stored.confidence:.6f}",
        stored.decision,
        stored.model_version_id,
    )


def _letter(dead: DeadEntry) -> dict[str, Any]:
    entry = dead.entry
    return {
        "lane": entry.lane,
        "entry_id": entry.entry_id,
        "source": entry.source or None,
        "external_id": entry.id or None,
        "reason": dead.reason,
        "detail": dead.detail[:2000].replace("\x00", "\N{REPLACEMENT CHARACTER}"),
        "raw": entry.packed(),
        "attempts": dead.attempts,
    }


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
