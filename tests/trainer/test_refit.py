"""Revisions of a starter: it learns while people decide, from stored vectors, with a tiny real encoder."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from classifier.head import read_head
from db.models import Label, Prediction, QueueItem, Review, TrainingRun, User
from db.queries import embeddings, heads, people, revisions, starters
from sortline.errors import CheckpointError
from sortline.settings import Settings
from tests.trainer.test_starter import NAMES, QUESTIONS, active, decide, labels, settings, wait_for_a_model
from trainer.adapt import adapt_trained
from trainer.refit import refit
from trainer.starter import make_starter
from web.desk.queue_policy import next_documents
from worker.active_model import Models
from worker.rescore_task import _rescore_page

__all__ = ["labels", "settings"]

FEES = [f"what do I pay for a transfer to country {i}" for i in range(11)]
COUNTER = [f"the card lies on the counter of shop {i}" for i in range(11)]
ASKED = "is the card behind your counter?"


@pytest.fixture
def started(session: Session, settings: Settings, labels: dict[str, int]) -> Models:
    """A starter that a worker has loaded, and that has scored what waits."""
    wait_for_a_model(session, *QUESTIONS.values(), ASKED)
    make_starter(settings)
    models = Models(settings)
    models.check_promotion()
    assert models.current is not None
    score_waiting(session, settings, models)
    return models


def decide_waiting(session: Session, label_id: int, *texts: str) -> None:
    ann = session.scalar(select(User).where(User.name == "ann")) or people.add(session, "ann", "reviewer", "test")
    for each in texts:
        id_ = session.scalar(text("SELECT id FROM documents WHERE text = :text"), {"text": each})
        session.add(Review(document_id=id_, reviewer_id=ann.id, action="correct", label_id=label_id, reason="doubtful"))
        session.execute(text("DELETE FROM queue_items WHERE document_id = :id"), {"id": id_})
    session.commit()


def score_waiting(session: Session, settings: Settings, models: Models, _: object = None) -> None:
    """As a worker does with what was stored before there was a model."""
    assert models.current is not None
    session.execute(text("""
        INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id)
        SELECT document_id, 'doubtful', 0, 0, 1 FROM unpredicted"""))  # fmt: skip
    session.execute(text("DELETE FROM unpredicted"))
    session.commit()
    found = [tuple(row) for row in session.execute(text(
        """SELECT documents.id, text FROM documents JOIN queue_items ON document_id = documents.id
        WHERE model_version_id = 0 ORDER BY 1"""))]  # fmt: skip
    for id_, _ in found:
        session.execute(text("""
            INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities, decision)
            VALUES (:id, 0, 'live', 1, 0.5, '{0.5}', 'review') ON CONFLICT DO NOTHING"""), {"id": id_})  # fmt: skip
    session.commit()
    _rescore_page(settings.postgres_url, models.current, found, 0)  # type: ignore[arg-type]


def item(session: Session, asked: str) -> QueueItem:
    session.expire_all()
    found = session.scalar(text("SELECT id FROM documents WHERE text = :text"), {"text": asked})
    waiting = session.get(QueueItem, found)
    assert waiting is not None
    return waiting


def test_ten_decisions_make_a_revision_that_orders_what_waits_and_answers(
    session: Session, settings: Settings, labels: dict[str, int], started: Models
) -> None:
    before = item(session, ASKED)
    known = (before.label_id, before.score)
    decide(session, labels["cash machine"], *COUNTER[:9])
    assert starters.due(session) is None
    decide(session, labels["cash machine"], *COUNTER[9:])
    assert starters.due(session) == "revision"

    assert refit(settings) == 1

    assert starters.due(session) is None
    version = active(session)
    assert version is not None
    after = item(session, ASKED)
    assert after.label_id == labels["cash machine"]
    assert (after.label_id, after.score) != known
    newest = heads.newest(session, version.id)
    assert newest is not None
    assert (newest.figures["decisions"], newest.figures["learnt"]) == (11, 11)
    encoder = embeddings.encoder_of_active(session)
    assert encoder == (newest.encoder_id, newest.weights.shape[1] - 1)
    # Documents that were decided without a vector have one now.
    ids = [row.id for row in session.execute(text("SELECT id FROM documents WHERE text LIKE '%counter of shop%'"))]
    assert len(embeddings.of_documents(session, *encoder, ids).ids) == 11


def test_twice_as_many_documents_make_a_revision_without_a_decision(
    session: Session, settings: Settings, started: Models
) -> None:
    encoder = embeddings.encoder_of_active(session)
    assert encoder is not None
    assert starters.due(session) is None
    more = "INSERT INTO documents (source, external_id, content_hash, text, lane) SELECT 'more', i, '', 'card', 'bulk' "
    ids = list(session.scalars(text(more + "FROM generate_series(1, 400) i RETURNING id")))
    rows = np.random.default_rng(0).normal(size=(400, encoder[1])).astype(np.float32)
    embeddings.store(session, encoder[0], ids, rows, 1_000)
    session.commit()
    assert starters.due(session) == "revision"

    assert refit(settings) == 1

    version = active(session)
    assert version is not None
    newest = heads.newest(session, version.id)
    assert newest is not None
    assert newest.figures["seen"] == 400 + len(embeddings.waiting(session, *encoder, 0, 100).ids)
    assert starters.due(session) is None


def test_workers_take_a_revision_up_and_name_it(
    session: Session, settings: Settings, labels: dict[str, int], started: Models
) -> None:
    decide(session, labels["cash machine"], *COUNTER)
    before = started.current
    refit(settings)

    started.check_promotion()

    current = started.current
    assert before is not None and current is not None
    assert (before.revision, current.revision, current.version_id) == (None, 1, before.version_id)
    assert int(current.classifier.logits([ASKED]).argmax()) == NAMES.index("cash machine")
    assert not current.classifier.decide(current.classifier.predict_proba([ASKED])).accept.any()
    # Its logits are those of the head on the vector that was stored.
    newest = heads.newest(session, current.version_id)
    assert newest is not None
    vectors = embeddings.waiting(session, newest.encoder_id, newest.weights.shape[1] - 1, 0, 10).vectors
    texts = session.scalars(text("""SELECT text FROM documents JOIN queue_items ON document_id = documents.id
        JOIN embeddings USING (document_id) ORDER BY documents.id""")).all()  # fmt: skip
    expected = vectors @ newest.weights[:, :-1].T + newest.weights[:, -1]
    np.testing.assert_allclose(current.classifier.logits(list(texts)), expected, atol=0.05)
    started.check_promotion()
    assert started.current is current


def test_a_shown_document_has_the_newest_revisions_prediction(
    session: Session, settings: Settings, labels: dict[str, int], started: Models
) -> None:
    decide(session, labels["cash machine"], *COUNTER)
    refit(settings)
    ann = session.scalar(text("SELECT id FROM users WHERE name = 'ann'"))

    shown = next_documents(session, ann, [], 4, lease_s=60, hidden_share=0)
    session.commit()

    assert len(shown) == 4
    rows = session.scalars(select(Prediction).where(Prediction.revision == 1)).all()
    assert {row.document_id for row in rows} == set(shown)
    for row in rows:
        leased = session.get(QueueItem, row.document_id)
        assert leased is not None and leased.shown is not None
        assert leased.shown["label_id"] == row.label_id == leased.label_id
        assert leased.shown["revision"] == 1
    session.execute(text("UPDATE queue_items SET lease_until = NULL, leased_to = NULL"))
    assert len(next_documents(session, ann, [], 4, lease_s=60, hidden_share=0)) == 4
    assert len(session.scalars(select(Prediction).where(Prediction.revision == 1)).all()) == 4


def test_decisions_that_are_taken_back_are_unlearnt(
    session: Session, settings: Settings, labels: dict[str, int], started: Models
) -> None:
    decide(session, labels["cash machine"], *COUNTER)
    refit(settings)
    session.execute(text("""
        INSERT INTO reviews (document_id, reviewer_id, action, reason, supersedes_id)
        SELECT document_id, reviewer_id, 'undo', reason, id FROM reviews LIMIT 3"""))  # fmt: skip
    session.commit()
    assert starters.due(session) == "revision"
    assert refit(settings) == 2
    version = active(session)
    assert version is not None
    newest = heads.newest(session, version.id)
    assert newest is not None and newest.figures["decisions"] == 8
    kept = session.scalars(text("SELECT revision FROM model_heads WHERE weights IS NOT NULL ORDER BY 1")).all()
    assert kept == [1, 2]


def test_a_new_label_is_suggested_for_what_waits_without_a_forward_pass(
    session: Session, settings: Settings, labels: dict[str, int], started: Models
) -> None:
    decide(session, labels["cash machine"], *COUNTER)
    refit(settings)
    counter = Label(name="card left at the counter of a shop")
    session.add(counter)
    session.commit()

    version_id = make_starter(settings)

    after = item(session, ASKED)
    assert (after.model_version_id, after.label_id) == (version_id, labels["cash machine"])
    ann = session.scalar(text("SELECT id FROM users WHERE name = 'ann'"))
    shown = next_documents(session, ann, [], 4, lease_s=60, hidden_share=0)
    rows = session.scalars(select(Prediction).where(Prediction.model_version_id == version_id)).all()
    assert {row.document_id for row in rows} == set(shown)
    assert {len(row.probabilities) for row in rows} == {4}


def test_a_starter_that_was_made_before_descriptions_were_kept_is_left_as_it_is(
    session: Session, settings: Settings, labels: dict[str, int], started: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.descriptions._DESCRIPTIONS", "none.safetensors")
    decide(session, labels["cash machine"], *COUNTER)
    assert refit(settings) is None


def train_instead(session: Session, models: Models) -> None:
    """Let the active version count as one that was trained on all that was decided so far."""
    assert models.current is not None
    newest = session.scalar(text("SELECT coalesce(max(id), 0) FROM reviews"))
    session.execute(text("UPDATE model_versions SET starter = false"))
    session.add(TrainingRun(
        reason="test", state="done", newest_review_id=newest, model_version_id=models.current.version_id))  # fmt: skip
    session.commit()


def test_a_trained_version_learns_between_trainings_and_only_suggests(
    session: Session, settings: Settings, labels: dict[str, int], started: Models
) -> None:
    score_waiting(session, settings, started, wait_for_a_model(session, *COUNTER, *FEES))
    train_instead(session, started)
    decide_waiting(session, labels["cash machine"], *COUNTER[:9])
    decide_waiting(session, labels["transfer fee"], *FEES[:10])
    assert revisions.due(session) is None
    decide_waiting(session, labels["cash machine"], *COUNTER[9:])
    assert revisions.due(session) is not None

    assert adapt_trained(settings) == 1

    assert revisions.due(session) is None
    version = active(session)
    assert version is not None
    newest = heads.newest(session, version.id)
    assert newest is not None
    assert newest.figures["learnt"] == 21
    assert newest.figures["gain"] >= 0
    assert "learnt" not in version.metrics.get("starter", {}) or version.metrics["starter"]["learnt"] != 21
    after = item(session, FEES[10])
    assert after.label_id == labels["transfer fee"]
    started.check_promotion()
    assert started.current is not None and started.current.revision is None  # what arrives is the checkpoint's
    ann = session.scalar(text("SELECT id FROM users WHERE name = 'ann'"))
    session.execute(text("UPDATE predictions SET decision = 'accept' WHERE document_id = :id"),
                    {"id": after.document_id})  # fmt: skip
    shown = next_documents(session, ann, [], 9, lease_s=60, hidden_share=0)
    rows = session.scalars(select(Prediction).where(Prediction.revision == 1)).all()
    assert {row.document_id for row in rows} == set(shown) - {after.document_id}
    assert {row.decision for row in rows} == {"review"}


def test_the_last_layer_of_a_checkpoint_is_read_without_the_rest(
    session: Session, settings: Settings, labels: dict[str, int], started: Models
) -> None:
    version = active(session)
    assert version is not None and started.current is not None
    folder = Path(settings.models) / version.checkpoint_uri.rpartition("/")[2]
    outputs = started.current.classifier.outputs([ASKED])
    np.testing.assert_allclose(read_head(folder, 3).logits(outputs.vectors), outputs.logits, atol=0.02)  # bfloat16
    with pytest.raises(CheckpointError, match="no last layer of 4 labels"):
        read_head(folder, 4)
    with pytest.raises(CheckpointError, match="is missing"):
        read_head(folder / "none", 3)
