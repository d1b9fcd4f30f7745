"""A worker asks a model that it loaded what it said before, and does not serve one that disagrees."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from tiny_bert import LABELS, build_tiny_checkpoint

from classifier.classifier import load_classifier
from db.models import Document, Label, Prediction
from db.queries import model_versions
from sortline.settings import Settings
from worker.active_model import Models

TEXTS = [f"{'where is my card ' * (i % 4 + 1)}{'cash transfer ' * (i % 3)}please help {i}" for i in range(40)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"engine": "torch", "device": "cpu"})


@pytest.fixture(autouse=True)
def documents(session: Session) -> None:
    session.add_all([Label(id=11 + i, name=name) for i, name in enumerate(LABELS)])
    session.add_all(
        [
            Document(id=i + 1, source="s", external_id=str(i), content_hash=i.to_bytes(32), text=text, lane="bulk")
            for i, text in enumerate(TEXTS)
        ]
    )
    session.commit()


def add_version(session: Session, settings: Settings, folder: Path, seed: int, says_what_seed: int) -> int:
    """A version whose checkpoint is of one seed, and whose noted answers are those of another."""
    stored = build_tiny_checkpoint(folder / f"{seed}-{says_what_seed}", seed=seed)
    other = build_tiny_checkpoint(folder / f"other-{seed}-{says_what_seed}", seed=says_what_seed)
    said = load_classifier(str(other.folder), other.sha256, settings).predict_proba(TEXTS)
    version = model_versions.create(
        session,
        checkpoint_uri=str(stored.folder),
        sha256=stored.sha256,
        base_model="tiny",
        label_ids=[11, 12, 13],
        metrics={
            "recheck": {
                "document_ids": list(range(1, len(TEXTS) + 1)),
                "labels": [11 + int(each) for each in said.argmax(axis=1)],
                "confidences": [float(each) for each in said.max(axis=1)],
            }
        },
    )
    session.commit()
    return version.id


def test_a_model_that_says_something_else_is_refused_and_the_one_before_serves_on(
    session: Session, settings: Settings, tmp_path: Path
) -> None:
    good = add_version(session, settings, tmp_path, 0, 0)
    bad = add_version(session, settings, tmp_path, 1, 0)
    models = Models(settings)
    for version in (good, bad):
        model_versions.activate(session, version, "me")
        session.commit()
        models.check_promotion()

    assert models.current is not None
    assert models.current.version_id == good
    assert models.refused is not None
    assert f"model version {bad} is refused: torch-" in models.refused
    assert "of 40 stored documents another label" in models.refused


def test_stored_predictions_are_asked_first(session: Session, settings: Settings, tmp_path: Path) -> None:
    version = add_version(session, settings, tmp_path, 0, 1)  # the trainer's notes alone would speak against it
    classifier = load_classifier(str(tmp_path / "0-1"), None, settings)
    said = classifier.predict_proba(TEXTS)
    for i, row in enumerate(said):
        session.add(
            Prediction(
                document_id=i + 1, model_version_id=version, kind="live", label_id=11 + int(row.argmax()),
                confidence=float(row.max()), probabilities=row.tolist(), decision="review",
            )
        )  # fmt: skip
    model_versions.activate(session, version, "me")
    session.commit()
    models = Models(settings.model_copy(update={"recheck_documents": len(TEXTS)}))

    models.check_promotion()

    assert models.refused is None
    assert models.current is not None


def test_nothing_is_asked_where_that_is_switched_off(session: Session, settings: Settings, tmp_path: Path) -> None:
    model_versions.activate(session, add_version(session, settings, tmp_path, 1, 0), "me")
    session.commit()
    models = Models(settings.model_copy(update={"recheck_documents": 0}))

    models.check_promotion()

    assert models.current is not None
