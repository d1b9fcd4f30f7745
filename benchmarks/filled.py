"""A database that has carried the line for a month: documents, predictions, decisions, what waits, what died."""

import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from benchmarks.model import register_stub
from benchmarks.stack import Stack
from benchmarks.texts import LABELS, texts
from db.connection import get_engine
from db.models import ModelVersion
from db.queries import people
from db.session import session
from sortline.queue import Document

TABLES = ("documents", "predictions", "queue_items", "reviews", "dead_letters", "search_index")
_SOURCES = ("mail", "chat", "shop", "phone")
_CHUNK = 500_000
_DAYS = 30
_GROWN = 0.1  # of the documents; the others are there when the indexes are built

# One to four texts after one another, 60 to 300 characters for the most part.
_POOL = text("""
CREATE TEMPORARY TABLE pool AS
SELECT 4 * n + more AS number, array_to_string(said[n + 1 : n + 1 + more], ' ') AS said
FROM (SELECT CAST(:texts AS text[]) AS said) texts, generate_series(0, :last) n, generate_series(0, 3) more
""")
_DOCUMENTS = text("""
INSERT INTO documents (source, external_id, content_hash, text, meta, lane, entry_id, received_at)
SELECT (CAST(:sources AS text[]))[1 + i % 4], gen_random_uuid(), sha256(said::bytea), said,
  CASE WHEN i % 4 = 0 THEN jsonb_build_object('customer', i / 7, 'language', 'en') END,
  CASE WHEN i % 10 = 0 THEN 'live' ELSE 'bulk' END, (1700000000000 + i) || '-0',
  now() - (1 - CAST(i AS float) / :all) * make_interval(days => :days)
FROM (
  SELECT i, said || ' ref ' || i AS said FROM generate_series(CAST(:start AS bigint), :end) i
  JOIN pool ON number = i * 7919 % (SELECT count(*) FROM pool)
) made ORDER BY i
""")
_PREDICTIONS = text("""
INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities, decision, created_at)
SELECT id, :version, 'live', 1 + id % :labels, CASE WHEN id % 40 = 0 THEN 0.6 ELSE 0.98 END,
  CAST(:probabilities AS real[]), CASE WHEN id % 40 = 0 THEN 'review' ELSE 'accept' END, received_at
FROM documents WHERE id > :after
""")
_ITEMS = text("""
INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id, sampling_probability, selected_at)
SELECT id, CASE WHEN id % 200 = 0 THEN 'audit' ELSE 'doubtful' END, random(), :version, 1 + id % :labels,
  CASE WHEN id % 200 = 0 THEN 0.01 END, received_at
FROM documents WHERE id > :after AND id % 67 = 0
""")
_REVIEWS = text("""
INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason, sampling_probability, seconds, created_at)
SELECT id, :reviewer, CASE WHEN id % 9 = 0 THEN 'correct' ELSE 'confirm' END, 1 + id % :labels,
  CASE WHEN id % 4 = 0 THEN 'audit' ELSE 'doubtful' END, CASE WHEN id % 4 = 0 THEN 0.01 END, 4, received_at
FROM documents WHERE id > :after AND id % 101 = 0
""")
_LETTERS = text("""
INSERT INTO dead_letters (lane, entry_id, source, external_id, reason, detail, raw, attempts, created_at, requeued_at)
SELECT lane, entry_id, source, external_id, CASE WHEN id % 2000 = 0 THEN 'failed' ELSE 'text_too_large' END, 'made',
  '\\x00', 5, received_at, CASE WHEN id % 3000 = 0 THEN received_at END
FROM documents WHERE id > :after AND id % 1000 = 0
""")
_WORDS = text("INSERT INTO search_index SELECT id, received_at, document_words(text) FROM documents WHERE id > :after")
# A hundred times quicker to build at the end than row by row. Not what foreign keys of other tables stand on, nor the
# largest that is entered at random places.
_LATER = text("""
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS drop,
  format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS make
FROM pg_constraint WHERE conrelid = 'predictions'::regclass AND contype IN ('p', 'u')
UNION ALL
SELECT format('DROP INDEX %I', relname), pg_get_indexdef(pg_class.oid)
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid IN ('documents'::regclass, 'predictions'::regclass, 'search_index'::regclass) AND NOT indisunique
""")


def prepare(made: Stack) -> None:
    """The stub, a version before it, whose predictions the filled rows have, and who decided them."""
    register_stub(made, LABELS)
    with session(made.settings.postgres_url) as opened:
        ids = list(range(1, LABELS + 1))
        opened.add(ModelVersion(status="retired", checkpoint_uri="-", sha256="-", base_model="-", label_ids=ids))
        people.add(opened, "bench", "reviewer", "benchmark")
        opened.commit()


def fill(made: Stack, start: int, end: int, final: int) -> None:
    """Add the documents from number ``start`` to ``end`` of ``final`` that a month brought, and all that is of them.

    1.5 % wait for a person, a third of them as audits; 1 % were decided; 0.1 % died. Indexes are built when all but
    a tenth of the ``end`` documents are there, and then grow entry by entry, as a line grows them: built at the end
    their pages would all be full, and all divide among the next documents. Tables are vacuumed half a million
    documents at a time, about as autovacuum does: by one vacuum at the end a short text would find room on any page.
    """
    with get_engine(made.settings.postgres_url).connect() as connection:
        plain = connection.execution_options(isolation_level="AUTOCOMMIT")
        pool = texts()
        plain.execute(_POOL, {"texts": pool, "last": len(pool) - 4})
        plain.exec_driver_sql("SET session_replication_role = replica")  # no checks of foreign keys: they all pass
        grown = max(start, end - round(_GROWN * end))
        with _without_indexes(plain):
            _fill(plain, start, grown - 1, final)
        _fill(plain, grown, end, final)
        plain.exec_driver_sql("RESET ALL")
        plain.exec_driver_sql("DROP TABLE pool")
        plain.exec_driver_sql(f"ANALYZE {', '.join(TABLES)}")
        plain.exec_driver_sql("CHECKPOINT")


def _fill(plain: Connection, start: int, end: int, final: int) -> None:
    probabilities = [0.98, 0.01, *[0.01 / (LABELS - 2)] * (LABELS - 2)]
    version = plain.scalar(text("SELECT id FROM model_versions WHERE status = 'retired'"))
    reviewer = plain.scalar(text("SELECT id FROM users WHERE name = 'bench'"))
    after = plain.scalar(text("SELECT coalesce(max(id), 0) FROM documents"))
    of_documents = {"sources": list(_SOURCES), "all": final, "days": _DAYS}
    of_rows = {"version": version, "labels": LABELS, "reviewer": reviewer, "probabilities": probabilities}
    for first in range(start, end + 1, _CHUNK):
        last = min(end, first + _CHUNK - 1)
        plain.execute(_DOCUMENTS, {**of_documents, "start": first, "end": last})
        plain.execute(_WORDS, {"after": after})
        for rows in (_PREDICTIONS, _ITEMS, _REVIEWS, _LETTERS):
            plain.execute(rows, {**of_rows, "after": after})
        for table in TABLES:
            plain.exec_driver_sql(f"VACUUM {table}")
        after = plain.scalar(text("SELECT max(id) FROM documents"))


@contextmanager
def _without_indexes(plain: Connection) -> Iterator[None]:
    later = plain.execute(_LATER).all()
    plain.exec_driver_sql("SET maintenance_work_mem = '1GB'")
    for each in later:
        plain.exec_driver_sql(each.drop)
    yield
    for each in later:
        plain.exec_driver_sql(each.make)


def incoming(count: int, seed: str) -> list[Document]:
    """Documents like the filled ones: ids that fall anywhere among those there are, texts of the same length."""
    draw, pool = random.Random(seed), texts()
    found = []
    for i in range(count):
        first = draw.randrange(len(pool) - 3)
        words = " ".join(pool[first : first + 1 + i % 4])
        id_ = str(uuid.UUID(int=draw.getrandbits(128)))
        meta = {"customer": i, "language": "en"} if i % 4 == 0 else None
        found.append(Document(id_, f"{words} ref {seed} {i}", _SOURCES[i % 4], meta))
    return found
