"""Classified documents that all wait for a person."""

import csv

from sqlalchemy import text

from benchmarks.stack import ROOT, Stack
from benchmarks.texts import LABELS
from db.connection import get_engine
from db.models import Label, ModelVersion
from db.queries.search_index import index_batch
from db.session import session

_DOCUMENTS = text("""
INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
SELECT 'bench', i::text, sha256(i::text::bytea), said[1 + floor(random() * :n)::int] || ' '
  || said[1 + floor(random() * :n)::int] || ' ' || i, 'bulk', i || '-0'
FROM generate_series(1, :count) i, (SELECT CAST(:texts AS text[]) AS said) texts
""")
_PREDICTIONS = text("""
INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities, decision)
SELECT id, 1, 'live', 1 + id % :labels, 0.5, CAST(:probabilities AS real[]), 'review' FROM documents
""")
_ITEMS = text("""
INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id, sampling_probability)
SELECT id, CASE WHEN audit THEN 'audit' ELSE 'doubtful' END, random(), 1, 1 + id % :labels,
       CASE WHEN audit THEN 0.01 END
FROM (SELECT id, random() < 0.05 AS audit FROM documents) drawn
""")


def fill(made: Stack, count: int) -> None:
    """Let ``count`` documents with texts of the sample be classified and wait for a person."""
    with (ROOT / "examples" / "incoming.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    probabilities = [0.5, 0.3, *[0.2 / (LABELS - 2)] * (LABELS - 2)]
    with session(made.settings.postgres_url) as opened:
        opened.add_all([Label(name=f"label {i}") for i in range(LABELS)])
        opened.flush()
        ids = list(range(1, LABELS + 1))
        opened.add(ModelVersion(status="active", checkpoint_uri="-", sha256="-", base_model="-", label_ids=ids))
        opened.flush()
        opened.execute(_DOCUMENTS, {"count": count, "texts": texts, "n": len(texts)})
        opened.execute(_PREDICTIONS, {"labels": LABELS, "probabilities": probabilities})
        opened.execute(_ITEMS, {"labels": LABELS})
        opened.commit()
        while index_batch(opened):
            opened.commit()
    with get_engine(made.settings.postgres_url).connect() as connection:
        plain = connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in ("documents", "predictions", "queue_items", "search_index"):
            plain.exec_driver_sql(f"VACUUM ANALYZE {table}")
