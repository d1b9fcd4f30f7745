"""First predictions of stored documents by a real encoder: the same answers as if the model had been there before."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from tiny_versions import TEXTS, add_version, promote

from db.queries import waiting_counts
from db.queries.counts import Count
from housekeeping.outbox import sweep
from sortline.settings import Settings


@pytest.fixture
def worker_settings(settings: Settings) -> Settings:
    """Real tiny encoders on torch: each needs no conversion."""
    return settings.model_copy(update={"engine": "torch", "device": "cpu", "watch_interval_s": 0.2})


def test_they_are_what_the_stream_would_have_got(
    line, start_worker, eventually: Callable[..., None], session: Session, settings: Settings, tmp_path: Path
) -> None:
    version = add_version(session, tmp_path, 0)
    start_worker()
    line.send(TEXTS)
    eventually(lambda: line.count("SELECT count(*) FROM documents") == len(TEXTS), 60)

    promote(session, version)
    eventually(lambda: line.count("SELECT count(*) FROM unpredicted") == 0, 60)
    line.send({f"again {name}": body for name, body in TEXTS.items()})
    eventually(lambda: line.predicted() == 2 * len(TEXTS), 60)

    differ = line.count("""
        SELECT count(*) FROM documents a JOIN documents b ON b.external_id = 'again ' || a.external_id
        JOIN predictions p ON p.document_id = a.id JOIN predictions q ON q.document_id = b.id
        JOIN queue_items i ON i.document_id = a.id JOIN queue_items j ON j.document_id = b.id
        WHERE (p.label_id, p.decision, p.kind, p.windows, p.form) IS DISTINCT FROM
              (q.label_id, q.decision, q.kind, q.windows, q.form) OR abs(p.confidence - q.confidence) > 0.001
           OR (i.reason, i.label_id, i.model_version_id) IS DISTINCT FROM (j.reason, j.label_id, j.model_version_id)
           OR abs(i.score - j.score) > 0.002""")
    assert differ == 0
    session.rollback()
    assert waiting_counts.by_reason(session) == {"doubtful": Count(2 * len(TEXTS))}
    sweep(settings)
    told = {event["id"]: (event["label"], event["decision"], event["form"]) for event in line.events()}
    assert len(line.events()) == len(told) == 2 * len(TEXTS)
    assert all(told[name] == told[f"again {name}"] for name in TEXTS)
    assert session.scalar(text("SELECT count(*) FROM predictions WHERE cardinality(probabilities) <> 3")) == 0
