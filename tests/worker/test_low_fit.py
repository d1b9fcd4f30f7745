"""Fit goes with each prediction, and a document that may fit no label waits for that reason."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from tiny_bert import build_tiny_bert, build_tiny_checkpoint
from tiny_versions import TEXTS, add_version, promote

from classifier.checkpoint import Calibration
from classifier.checkpoint_folder import write_checkpoint
from classifier.classifier import load_classifier
from classifier.fit import FitModel
from db.models import ModelVersion
from db.queries import model_versions, rescore
from db.queries.counts import Count
from db.queries.document_state import document_state
from db.queries.waiting_counts import by_reason
from sortline.events import ResultEvent
from sortline.settings import Settings
from worker.celery import app as worker_app

FOREIGN, KNOWN = 0.25, 0.984375
LOADER = "classifier.classifier:load_classifier"
NO_AUDITS = {"audit_share": 1e-9, "first_audit_share": 0.0}


@pytest.mark.usefixtures("model")
def test_a_foreign_document_is_told_as_one_wherever_its_answer_goes(line, start_worker, eventually) -> None:
    start_worker(NO_AUDITS)
    line.send({"known": "one", "foreign": "FOREIGN"})
    eventually(lambda: line.predicted() == 2 and line.backlog() == 0)

    assert line.rows("SELECT external_id, fit FROM predictions JOIN documents ON documents.id = document_id") == {
        "known": KNOWN, "foreign": FOREIGN,
    }  # fmt: skip
    assert line.rows("SELECT reason, score FROM queue_items") == {"low_fit": FOREIGN}
    told = {event["id"]: event for event in line.events()}
    assert {id_: event["fit"] for id_, event in told.items()} == {"known": "0.984375", "foreign": "0.250000"}
    assert tuple(told["known"]) == ResultEvent._fields
    assert [name for name in ResultEvent._fields if name in ("decision", "fit", "model_version", "form", "at")] == [
        "decision", "fit", "model_version", "form", "at",
    ]  # fmt: skip
    state = document_state(line.session, "default", "foreign")
    assert state is not None and (state.decision, state.fit) == ("review", FOREIGN)

    line.session.execute(text("UPDATE predictions SET fit = NULL"))  # as predictions from before are
    line.session.commit()
    line.send({"foreign": "FOREIGN"})
    eventually(lambda: len(line.events()) == 3)
    assert line.events()[2]["fit"] == ""


def test_what_was_stored_before_there_was_a_model_waits_as_its_first_prediction_says(
    line, start_worker, eventually: Callable[..., None], model: ModelVersion
) -> None:
    line.session.execute(text("UPDATE model_versions SET status = 'candidate'"))
    line.session.commit()
    start_worker(NO_AUDITS)
    line.send({"known": "one", "foreign": "FOREIGN"})
    eventually(lambda: line.count("SELECT count(*) FROM documents") == 2)
    assert set(by_reason(line.session)) == {"unpredicted"}

    line.session.execute(text("UPDATE model_versions SET status = 'active'"))
    line.session.commit()
    eventually(lambda: line.count("SELECT count(*) FROM unpredicted") == 0)

    assert line.rows("SELECT reason, score FROM queue_items") == {"low_fit": FOREIGN}
    assert line.rows("SELECT event ->> 'id', event ->> 'fit' FROM outbox") == {
        "known": "0.984375", "foreign": "0.250000",
    }  # fmt: skip


def _with_fit(session: Session, folder: Path, settings: Settings) -> int:
    """A version of a tiny encoder that gives half of the texts a low fit."""
    plain = build_tiny_checkpoint(folder / "plain", seed=1)
    classifier = load_classifier(str(plain.folder), plain.sha256, settings)
    vectors = classifier.outputs(list(TEXTS.values())).vectors
    mean = vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    places = vectors @ axes[0]
    zero = np.zeros(1, np.float32)
    model = FitModel(
        pretrained=np.zeros((len(mean), 1), np.float32), shift=zero, directions=np.zeros((1, 1), np.float32),
        detector=axes[0], location=np.array([0, 0, 0, np.median(places)], np.float32),
        scale=np.array([1, 1, 1, places.std()], np.float32), weight=np.array([0, 0, 0, 1], np.float32), bias=zero,
    )  # fmt: skip

    def save(made: Path) -> None:
        build_tiny_bert(made, seed=1)
        model.save(made)

    stored = write_checkpoint(folder / "fitting", plain.description.model_copy(update={"files": {}, "calibrations": {
        "default": Calibration(threshold=2)}}), save)  # fmt: skip
    version = model_versions.create(
        session, checkpoint_uri=str(stored.folder), sha256=stored.sha256, base_model="tiny", label_ids=[11, 12, 13]
    )
    session.commit()
    return version.id


def test_a_model_that_knows_what_is_foreign_sorts_what_waited_without(
    line, start_worker, eventually: Callable[..., None], session: Session, worker_settings: Settings, tmp_path: Path
) -> None:
    torch_only = {**NO_AUDITS, "engine": "torch", "device": "cpu", "classifier": LOADER}
    before = add_version(session, tmp_path, 0)
    after = _with_fit(session, tmp_path, worker_settings.model_copy(update=torch_only))
    promote(session, before)
    start_worker(torch_only)
    line.send(TEXTS)
    eventually(lambda: line.predicted() == len(TEXTS), 60)
    assert by_reason(session) == {"doubtful": Count(len(TEXTS))}
    eventually(lambda: {event["fit"] for event in line.events()} == {""})  # that one gives none

    promote(session, after)
    with worker_app.connection_for_write(worker_settings.celery_broker.celery["broker_url"]) as broker:
        worker_app.send_task("worker.rescore", [after], queue="worker", connection=broker)
    eventually(lambda: session.rollback() or rescore.stale(session) is None, 60)

    assert by_reason(session) == {"doubtful": Count(len(TEXTS) // 2), "low_fit": Count(len(TEXTS) // 2)}
    differ = """SELECT count(*) FROM queue_items JOIN predictions USING (document_id) WHERE kind = 'rescore'
                AND (reason = 'low_fit') <> (fit < 0.5)"""
    assert line.count(differ) == 0
    assert line.count("SELECT count(*) FROM predictions WHERE kind = 'rescore' AND fit IS NULL") == 0

    line.send({f"again {name}": body for name, body in TEXTS.items()})
    eventually(lambda: line.count("SELECT count(*) FROM predictions WHERE kind = 'live'") == 2 * len(TEXTS), 60)
    assert line.count("""
        SELECT count(*) FROM documents a JOIN documents b ON b.external_id = 'again ' || a.external_id
        JOIN predictions p ON p.document_id = a.id AND p.kind = 'rescore' JOIN predictions q ON q.document_id = b.id
        WHERE abs(p.fit - q.fit) > 0.01 OR q.fit IS NULL""") == 0  # fmt: skip
