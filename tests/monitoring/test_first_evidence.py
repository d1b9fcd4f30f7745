"""How good a starter is by audits, and how far the promise is."""

import pytest
from audited_traffic import add_answers
from filled_queue import add_labels
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import ModelVersion
from db.queries import model_versions
from monitoring.first_evidence import on_the_way, promise_sentence, starter_right, starter_sentence
from sortline.settings import Settings


@pytest.fixture
def labels(session: Session) -> list[int]:
    """Three labels, and a starter that is active."""
    made = [label.id for label in add_labels(session)]
    session.query(ModelVersion).one().starter = True
    session.commit()
    return made


def test_fifty_audits_tell_how_often_a_starter_is_right(
    session: Session, settings: Settings, labels: list[int]
) -> None:
    card, cash, _ = labels
    add_answers(session, 200, card, probability=0.2, decided=False)
    add_answers(session, 34, card, probability=0.2, truth_id=card)
    add_answers(session, 15, card, probability=0.2, truth_id=cash)
    assert starter_sentence(starter_right(session)).startswith("49 of 50 audits decided")
    assert "at least 299 decisions" in on_the_way(session, settings)[1]
    add_answers(session, 1, card, probability=0.2, truth_id=None)  # none fits

    found = starter_right(session)

    assert (found.decided, found.value) == (50, pytest.approx(34 / 50))
    assert 0.53 < found.low < 0.68 < found.high < 0.81
    starter, promise = on_the_way(session, settings)
    assert starter.startswith("The starter is right on 68 % of documents (")
    assert "at least 440 decisions that are set aside for the proof while 68 % of the answers are right" in promise
    assert promise.endswith("so far there are 0.")


def test_a_rare_draw_weighs_more(session: Session, labels: list[int]) -> None:
    add_answers(session, 40, labels[0], probability=0.2, truth_id=labels[0])
    add_answers(session, 20, labels[0], probability=0.01, truth_id=labels[1])
    assert starter_right(session).value == pytest.approx(40 / 0.2 / (40 / 0.2 + 20 / 0.01))


def test_an_audit_counts_with_what_the_starter_of_its_time_suggested(session: Session, labels: list[int]) -> None:
    ids = add_answers(session, 50, labels[0], probability=0.2, truth_id=labels[1])
    later = ModelVersion(starter=True, checkpoint_uri="x", sha256="0", base_model="b", label_ids=labels)
    session.add(later)
    session.flush()
    for offset, version in ((-30, later.id), (30, 1)):  # seconds from the decision; what came after it was taught by it
        session.execute(
            text("""
            INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities, decision,
                                     created_at)
            SELECT document_id, :version, 'rescore', :label, 0.5, ARRAY[0.5], 'review',
                   created_at + make_interval(secs => :offset)
            FROM reviews WHERE document_id = ANY(:ids)
            """),
            {"version": version, "label": labels[1], "offset": offset, "ids": ids},
        )
    session.execute(
        text("UPDATE predictions SET label_id = :label WHERE model_version_id = 1 AND kind = 'rescore'"),
        {"label": labels[2]},
    )
    assert starter_right(session).value == 1.0


def test_audits_of_trained_versions_tell_nothing_of_a_starter(session: Session, labels: list[int]) -> None:
    add_answers(session, 60, labels[0], probability=0.2, truth_id=labels[0])
    session.query(ModelVersion).one().starter = False
    session.flush()
    assert starter_right(session).decided == 0


@pytest.mark.parametrize(
    ("guarantee", "said"),
    [
        ({"proved": True, "risk_target": 0.01, "confidence": 0.95}, ""),
        ({"risk_target": 0.01, "confidence": 0.95, "documents": 80, "missing": 400, "unproved": {"documents": 150}},
         "at its present accuracy that takes about 480 decisions that are set aside for the proof; its training had 80"),
        ({"risk_target": 0.01, "confidence": 0.95, "documents": 0, "missing": 299, "unproved": {"documents": 0}},
         "that takes at least 299 decisions"),
        ({"risk_target": 0.01, "confidence": 0.95, "documents": 900}, "no number of decisions can prove it"),
    ],
)  # fmt: skip
def test_of_a_trained_version_its_own_evidence_tells(
    session: Session, settings: Settings, labels: list[int], guarantee: dict[str, object], said: str
) -> None:
    version = model_versions.active(session)
    assert version is not None
    version.starter, version.metrics = False, {"guarantee": guarantee}
    session.flush()
    starter, promise = on_the_way(session, settings)
    assert starter == "" and said in promise and bool(said) == bool(promise)


def test_no_share_of_right_answers_gives_no_number_from_nothing() -> None:
    assert "at least 299 decisions" in promise_sentence(0, 0.0, 0.01, 0.95)
    assert "at least 598 decisions" in promise_sentence(1, 0.5, 0.01, 0.95)
    assert promise_sentence(1, 0.5, 0.01, 0.95).endswith("so far there is 1.")


def test_without_a_model_nothing_is_said(session: Session, settings: Settings) -> None:
    assert on_the_way(session, settings) == ("", "")
