"""Finding documents among a million, and what the indexes for it cost the intake."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.stack import Stack, result, say, stack
from benchmarks.texts import paragraphs
from benchmarks.waiting import fill
from db.incoming_documents import IncomingDocuments, pack
from db.models import Label
from db.queries import document_search
from db.queries.document_search import Filters
from db.queries.intake import AuditShares, store_batch
from db.queries.search_index import index_batch
from db.session import session
from sortline.queue import Document

_TIMES = 5
_SEARCHES = {
    "all": Filters(), "word": Filters(words="card"), "two_words": Filters(words="card refund"),
    "rare_word": Filters(words="777"), "label": Filters(predicted="label 5"),
    "label_and_word": Filters(predicted="label 5", words="card"), "undecided": Filters(state="undecided"),
    "doubtful": Filters(reason="doubtful"), "id": Filters(source="bench", external_id="777"),
}  # fmt: skip
_STORED, _ROUNDS, _BATCH = 20_480, 4, 512
_INDEXES = {
    "ix_documents_received_at": "CREATE INDEX ix_documents_received_at ON documents (received_at, id)",
    "ix_predictions_label_id": "CREATE INDEX ix_predictions_label_id ON predictions (label_id, document_id)",
}


def search(count: int = 1_000_000) -> None:
    """`search`: milliseconds until the first 50 documents are found, and microseconds of Postgres' processor time a
    paragraph
    document is stored in without and with the indexes to find it by, and then entered into the search index in.

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
        **cost,
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
    found: dict[str, list[float]] = {"store_without_us": [], "store_us": [], "index_us": []}
    with session(made.settings.postgres_url) as opened:
        opened.add_all([Label(name=f"label {i}") for i in range(77)])
        for turn in range(_ROUNDS):
            for name in ("store_without_us", "store_us"):
                opened.execute(text("TRUNCATE documents, predictions, queue_items, search_pending CASCADE"))
                for index, sql in _INDEXES.items():
                    opened.execute(text(f"DROP INDEX IF EXISTS {index}"))
                    if name == "store_us":
                        opened.execute(text(sql))
                opened.commit()
                found[name].append(_of_postgres(opened, lambda: _store(opened, batches)))
            found["index_us"].append(_of_postgres(opened, lambda: _index(opened)))
            say(f"round {turn + 1}: " + ", ".join(f"{name} {times[-1]:.1f}" for name, times in found.items()))
    return {name: round(statistics.median(times), 1) for name, times in found.items()}


def _of_postgres(opened: Session, work: Callable[[], None]) -> float:
    """Microseconds a document that the session's process of Postgres works for it."""
    pid = opened.execute(text("SELECT pg_backend_pid()")).scalar_one()
    before = _processor_s(pid)
    work()
    return 1e6 * (_processor_s(pid) - before) / _STORED


def _index(opened: Session) -> None:
    while index_batch(opened):
        opened.commit()


def _store(opened: Session, batches: list[IncomingDocuments]) -> None:
    probabilities = np.tile(np.array([0.5, *[0.5 / 76] * 76], np.float32), _BATCH)
    for batch in batches:
        store_batch(opened, batch, probabilities, AuditShares(1e-12))
        opened.commit()


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _batches() -> list[IncomingDocuments]:
    sent = paragraphs(_STORED, "stored")
    return [_incoming(sent[start : start + _BATCH], start) for start in range(0, _STORED, _BATCH)]


def _incoming(sent: Sequence[Document], start: int) -> IncomingDocuments:
    each = np.arange(len(sent))
    numbers: dict[str, ArrayLike] = {
        "version": 1, "revision": 0, "label": 1 + each % 77, "confidence": 0.95, "fit": np.nan, "margin": 0.5,
        "first": 77 * each, "labels": 77, "accepted": True, "repaired": False, "truncated": False, "windows": 1,
        "unknown_share": np.nan, "encoder": 0, "vector": 0, "chance": 1.0,
    }  # fmt: skip
    texts = [
        (one.source, one.id, sha256(one.text.encode()).hexdigest(), one.text, f"{start + i + 1}-0", None)
        for i, one in enumerate(sent)
    ]
    return IncomingDocuments(pack("bulk", "whole", texts, len(texts), numbers))
