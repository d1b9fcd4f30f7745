"""How long it takes to find what is like a document, among many vectors."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.stack import Stack, processor, result, say, stack
from benchmarks.waiting import fill
from db.connection import get_engine
from db.queries import document_search, embeddings, likeness
from db.session import session
from db.vector_array import Matrix

_WIDTH = 384
_ABOUT = 500  # what documents are about, so that some are alike
_PAGE = 5_000
_TIMES = 60
_MOST = 50


def likeness_line(count: int = 200_000) -> None:
    """`likeness`: the 50 documents that are most like one, with what was predicted and decided of them.

    ``likeness_p95_ms`` among ``count`` vectors of 384 numbers, all of which Postgres compares; half of them wait for a
    person, the others are in the ring. ``likeness_cpu_ms``: the processor time that all processes of Postgres take for
    one document, because others may use the machine. ``numpy_p95_ms``: among the newest 20,000, as without pgvector.
    """
    with stack("likeness") as made:
        fill(made, count)
        with session(made.settings.postgres_url) as opened:
            opened.execute(text("DELETE FROM queue_items WHERE document_id % 2 = 0"))
            encoder = embeddings.encoder_id(opened, "benchmark", "whole", _WIDTH), _WIDTH
            ids = list(opened.scalars(text("SELECT id FROM documents ORDER BY id")))
            for part, vectors in _vectors(ids):
                embeddings.store(opened, encoder[0], part, vectors, count)
            opened.commit()
        with get_engine(made.settings.postgres_url).connect() as connection:
            plain = connection.execution_options(isolation_level="AUTOCOMMIT")
            plain.exec_driver_sql("VACUUM ANALYZE embeddings")
        say(f"{count:,} vectors are there")
        asked = [ids[i * len(ids) // _TIMES] for i in range(_TIMES)]
        with session(made.settings.postgres_url) as opened:
            before = _processor_s(made, opened)
            in_postgres = _took(opened, encoder, asked, in_postgres=True)
            work = 1000 * (_processor_s(made, opened) - before) / len(asked)
            here = _took(opened, encoder, asked, in_postgres=False)
    result(
        "likeness", vectors=count, likeness_p50_ms=_at(in_postgres, 50), likeness_p95_ms=_at(in_postgres, 95),
        likeness_cpu_ms=round(work, 1), numpy_p95_ms=_at(here, 95), load=round(os.getloadavg()[0], 1), cpu=processor(),
    )  # fmt: skip


def _vectors(ids: list[int]) -> Iterator[tuple[list[int], Matrix]]:
    draw = np.random.default_rng(1)
    about = draw.standard_normal((_ABOUT, _WIDTH), np.float32)
    for start in range(0, len(ids), _PAGE):
        part = ids[start : start + _PAGE]
        noise = draw.standard_normal((len(part), _WIDTH), np.float32)
        yield part, about[draw.integers(0, _ABOUT, len(part))] + 0.7 * noise


def _took(opened: Session, encoder: tuple[int, int], asked: list[int], in_postgres: bool) -> list[float]:
    times = []
    for each in asked:
        began = time.perf_counter()
        vector = likeness.vector_of(opened, encoder, each)
        assert vector is not None
        near = likeness.nearest(opened, encoder, vector, _MOST, each, in_postgres)
        document_search.rows(opened, [found.id for found in near], 300)
        times.append(1000 * (time.perf_counter() - began))
        opened.commit()
        assert len(near) == _MOST
    return times[1:]  # the first one loads the plan


def _processor_s(made: Stack, opened: Session) -> float:
    """Of the session's process, and of all that have ended, as those do which help it with a query."""
    server = made.servers["postgres"].process
    assert server is not None
    own, ended = (
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        for pid in (opened.scalar(text("SELECT pg_backend_pid()")), server.pid)
    )
    return sum(map(int, [*own[11:13], *ended[13:15]])) / os.sysconf("SC_CLK_TCK")


def _at(times: list[float], percent: int) -> float:
    return round(float(np.percentile(times, percent)), 1)
