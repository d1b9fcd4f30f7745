"""Finding documents among a million, and what the indexes for it cost the intake."""

import os
import statistics
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.stack import Stack, result, say, stack
from benchmarks.texts import documents
from benchmarks.waiting import fill
from db.models import Label
from db.queries import document_search
from db.queries.document_search import Filters
from db.queries.intake import store_batch
from db.session import session

_TIMES = 5
_SEARCHES = {
    "all": Filters(), "word": Filters(words="card"), "two_words": Filters(words="card refund"),
    "rare_word": Filters(words="777"), "label": Filters(predicted="label 5"),
    "label_and_word": Filters(predicted="label 5", words="card"), "undecided": Filters(state="undecided"),
    "doubtful": Filters(reason="doubtful"), "id": Filters(source="bench", external_id="777"),
}  # fmt: skip
_STORED, _ROUNDS, _BATCH = 60_000, 4, 512
_INDEXES = {
    "ix_documents_received_at": "CREATE INDEX ix_documents_received_at ON documents (received_at, id)",
    "ix_predictions_label_id": "CREATE INDEX ix_predictions_label_id ON predictions (label_id, document_id)",
    "ix_documents_words": "CREATE INDEX ix_documents_words ON documents USING gin (document_words(text))",
}


def search(count: int = 1_000_000) -> None:
    """`search`: milliseconds until the first 50 documents are found, and microseconds of Postgres' processor time a
    document is stored in with no index to find it by, without the index of words, and with all.

    All documents are classified and wait for a person; the searches are those above, the median of five runs each.
    """
    with stack("search") as made:
        cost = _cost(made)
    with stack("search") as made:
        fill(made, count)
        say(f"{count:,} documents are there")
        with session(made.settings.postgres_url) as opened:
            took = {name: _took(opened, filters) for name, filters in _SEARCHES.items()}
    result(
        "search", documents=count, **{f"{name}_ms": ms for name, ms in took.items()}, slowest_ms=max(took.values()),
        store_us=cost,
    )  # fmt: skip


def _took(opened: Session, filters: Filters) -> float:
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        document_search.search(opened, filters, None, 50, 300)
        times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times), 1)


def _cost(made: Stack) -> dict[str, float]:
    """Processor time of the one process of Postgres that stores documents, in turns: others may use the machine."""
    batches = _batches()
    of_one = {"none": [], "without_words": list(_INDEXES)[:2], "all": list(_INDEXES)}
    found: dict[str, list[float]] = {name: [] for name in of_one}
    with session(made.settings.postgres_url) as opened:
        opened.add_all([Label(name=f"label {i}") for i in range(77)])
        for turn in range(_ROUNDS):
            for name, indexes in of_one.items():
                opened.execute(text("TRUNCATE documents, predictions, queue_items CASCADE"))
                for index, sql in _INDEXES.items():
                    opened.execute(text(f"DROP INDEX IF EXISTS {index}"))
                    if index in indexes:
                        opened.execute(text(sql))
                opened.commit()
                found[name].append(_store(opened, batches))
                say(f"round {turn + 1}, indexes {name}: {found[name][-1]:.1f} µs a document")
    return {name: round(statistics.median(times), 1) for name, times in found.items()}


def _store(opened: Session, batches: list[str]) -> float:
    pid = opened.execute(text("SELECT pg_backend_pid()")).scalar_one()
    probabilities = np.tile(np.array([0.5, *[0.5 / 76] * 76], np.float32), _BATCH)
    before = _processor_s(pid)
    for batch in batches:
        store_batch(opened, batch, probabilities, 1e-12)
        opened.commit()
    return 1e6 * (_processor_s(pid) - before) / _STORED


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _batches() -> list[str]:
    rows = [
        {
            "source": each.source, "id": each.id, "hash": sha256(each.text.encode()).hexdigest(), "text": each.text,
            "repaired": False, "meta": None, "lane": "bulk", "entry_id": f"{i + 1}-0", "version": 1,
            "label": 1 + i % 77, "confidence": 0.95, "first": 77 * (i % _BATCH), "labels": 77, "decision": "accept",
            "windows": 1, "truncated": False, "margin": 0.5,
        }
        for i, each in enumerate(documents(_STORED, "stored"))
    ]  # fmt: skip
    return [orjson.dumps(rows[i : i + _BATCH]).decode() for i in range(0, _STORED, _BATCH)]
