"""What a model could not read of a document is kept with its prediction, and told."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from tiny_bert import build_tiny_checkpoint
from tiny_versions import add_version, promote

from classifier.classifier import load_classifier
from db.models import Shadow
from db.queries import rescore, shadows
from db.queries.document_state import document_state
from sortline.settings import Settings
from worker.scoring import prediction_rows, score

_SHARES = text("""
SELECT external_id, kind, unknown_share FROM predictions JOIN documents ON documents.id = document_id ORDER BY 1, 2
""")


@pytest.fixture
def worker_settings(settings: Settings) -> Settings:
    """A real tiny encoder, whose vocabulary is English."""
    return settings.model_copy(update={"engine": "torch", "device": "cpu", "watch_interval_s": 0.2})


def test_the_line_keeps_the_share_where_it_is_over_a_tenth(
    line, start_worker, eventually: Callable[..., None], session: Session, settings: Settings, tmp_path: Path
) -> None:
    promote(session, add_version(session, tmp_path, 0))
    start_worker()
    line.send({"english": "where is my card", "thai": "บัตรหาย card", "mixed": "where is my card please help it 卡"})
    eventually(lambda: line.predicted() == 3, 120)

    shares = {row.external_id: row.unknown_share for row in session.execute(_SHARES)}
    assert (shares["english"], shares["mixed"]) == (None, None)  # a single character of 26 is under a tenth
    assert shares["thai"] == pytest.approx(7 / 11)
    source = session.scalar(text("SELECT source FROM documents LIMIT 1"))
    told = {id_: state.to_dict() for id_ in shares if (state := document_state(session, source, id_)) is not None}
    assert told["thai"]["unknown_share"] == pytest.approx(7 / 11)
    assert "unknown_share" not in told["english"]

    # So does the scoring of what is stored.
    ids = dict(session.execute(text("SELECT external_id, id FROM documents")).tuples().all())
    stored = build_tiny_checkpoint(tmp_path / "other")
    classifier = load_classifier(str(stored.folder), stored.sha256, settings.model_copy(update={"engine": "torch"}))
    prepared, probabilities, _, fit = score(classifier, ["บัตรหาย card", "where is my card"])
    rows = prediction_rows(classifier, "whole", None, [ids["thai"], ids["english"]], prepared, probabilities, fit)
    packed = orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    rescore.store(session, 2, packed)
    shadows.store(session, Shadow(id=1, model_version_id=3), 0, packed)
    session.commit()
    for kind in ("rescore", "shadow"):
        again = {row.external_id: row.unknown_share for row in session.execute(_SHARES) if row.kind == kind}
        assert again == {"thai": pytest.approx(7 / 11), "english": None}
