"""Doubtful or of low fit: which of the two a document waits for, whatever is done with it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pytest
from filled_queue import add_document, add_labels, unlike
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Shadow
from db.queries import form_draws, intake, queue_items, rescore, revised_predictions, shadows, waiting_scores
from db.queries.form_draws import Disagreement
from tests.incoming import incoming

NONE = float("nan")
Waiting = list[tuple[str, float]]


def waiting(session: Session) -> Waiting:
    rows = session.execute(text("SELECT reason, score FROM queue_items ORDER BY document_id")).all()
    return [(reason, round(score, 3)) for reason, score in rows]


def fits(session: Session, kind: str) -> list[float | None]:
    return list(session.scalars(text("SELECT fit FROM predictions WHERE kind = :k ORDER BY document_id"), {"k": kind}))


def predicted(document_id: int, fit: float, decision: str = "review", **more: object) -> dict[str, Any]:
    """A prediction as workers send it; NaN: the model gives no fit."""
    return {"document_id": document_id, "label": 1, "confidence": 0.5, "probabilities": [0.5, 0.3, 0.2], "fit": fit,
            "decision": decision, "windows": 1, "truncated": False, "margin": 0.2} | more  # fmt: skip


def packed(*rows: dict[str, Any]) -> str:
    return orjson.dumps(rows).decode()


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


def test_what_is_not_accepted_waits_for_low_fit_or_as_doubtful_and_audits_stay_audits(session: Session) -> None:
    rows = [
        {"source": "s", "id": str(i), "hash": f"{i:064x}", "text": "a", "repaired": False, "lane": "bulk",
         "entry_id": f"{i}-0", "version": 1, "label": 1, "confidence": 0.9, "first": 0, "labels": 1, "fit": fit,
         "decision": decision, "windows": 1, "truncated": False, "margin": 0.2}
        for i, (fit, decision) in enumerate(((0.25, "review"), (0.5, "review"), (NONE, "review"), (0.1, "accept")), 1)
    ]  # fmt: skip
    intake.store_batch(session, incoming(rows), np.ones(1, np.float32), intake.AuditShares(0.0))
    assert waiting(session) == [("low_fit", 0.25), ("doubtful", 0.2), ("doubtful", 0.2)]
    assert fits(session, "live") == [0.25, 0.5, None, pytest.approx(0.1)]

    audited = incoming([rows[0] | {"id": "9", "hash": f"{9:064x}"}])
    intake.store_batch(session, audited, np.ones(1, np.float32), intake.AuditShares(1.0))
    assert waiting(session)[3][0] == "audit"
    again = intake.store_batch(session, incoming(rows[:1]), np.ones(1, np.float32), intake.AuditShares(0.0))
    assert [found.fit for found in again.values() if found] == [0.25]


def test_a_new_model_moves_what_waits_or_accepts_it(session: Session) -> None:
    ids = [add_document(session, unlike(i)) for i in range(4)] + [add_document(session, unlike(9), "flag")]
    rescore.store(session, 2, packed(*(predicted(id_, 0.25) for id_ in ids)))
    assert waiting(session) == [("low_fit", 0.25)] * 4 + [("flag", 0.2)]
    assert fits(session, "rescore") == [0.25] * 5

    new = predicted(ids[0], 0.75), predicted(ids[1], NONE), predicted(ids[2], 0.4), predicted(ids[3], 0.4, "accept")
    rescore.store(session, 3, packed(*new))
    assert waiting(session)[:3] == [("doubtful", 0.2), ("doubtful", 0.2), ("low_fit", 0.4)]
    assert len(waiting(session)) == 4  # what is accepted waits no more


def test_a_head_that_was_fitted_anew_keeps_what_its_version_says_of_fit(session: Session, labels: list[int]) -> None:
    foreign, known = (add_document(session, unlike(i)) for i in range(2))
    rescore.store(session, 1, packed(predicted(foreign, 0.25), predicted(known, 0.75)))
    session.execute(text("UPDATE predictions SET created_at = created_at - interval '1 h' WHERE kind = 'live'"))

    waiting_scores.store(session, 1, [foreign, known], [labels[1]] * 2, [0.01, 0.02])
    assert waiting(session) == [("low_fit", 0.25), ("doubtful", 0.02)]

    row = {"document_id": foreign, "label": labels[2], "confidence": 0.6, "probabilities": [0.2, 0.2, 0.6]}
    revised_predictions.store(session, revised_predictions.Newest(1, 5), [row])
    assert fits(session, "rescore") == [0.25, 0.75]

    session.execute(text("UPDATE model_versions SET status = 'retired' WHERE id = 1"))
    other = session.scalar(text(
        "INSERT INTO model_versions (status, checkpoint_uri, sha256, base_model, label_ids) "
        "SELECT 'active', 'x', '1', 'tiny', label_ids FROM model_versions WHERE id = 1 RETURNING id"
    ))  # fmt: skip
    assert other is not None
    waiting_scores.store(session, other, [foreign], [labels[1]], [0.01])
    assert waiting(session)[0] == ("doubtful", 0.01)  # that version gives it no fit


def test_what_is_put_back_waits_as_its_newest_prediction_says(session: Session) -> None:
    ids = [add_document(session, unlike(i)) for i in range(4)]
    session.execute(text("UPDATE predictions SET fit = CASE WHEN document_id % 2 = 0 THEN 0.25 ELSE 0.75 END"))
    session.execute(text("DELETE FROM queue_items"))
    for id_, reason in zip(ids, ("low_fit", "doubtful", "unpredicted", "flag"), strict=True):
        queue_items.put_back(session, [{"document_id": id_, "reason": reason, "sampling_probability": None}])
    assert waiting(session) == [("doubtful", 0.2), ("low_fit", 0.25), ("doubtful", 0.2), ("flag", 0.2)]


def test_evidence_of_drift_and_of_a_form_takes_both(session: Session) -> None:
    ids = [add_document(session, unlike(i), "low_fit") for i in range(2)]
    queue_items.add(session, [{"document_id": ids[0], "score": 0.1}], "drift")
    session.execute(text("INSERT INTO model_forms (model_version_id, name, state) VALUES (1, 'int8', 'missing')"))
    form_draws.draw(session, 1, "int8", [Disagreement(ids[1], 1, 2)])
    assert [reason for reason, _ in waiting(session)] == ["drift", "shadow"]


def test_a_shadows_answers_have_their_fit(session: Session) -> None:
    id_ = add_document(session, unlike(1), None)
    shadow: Any = SimpleNamespace(id=1, model_version_id=3)
    shadows.store(session, shadow, id_, packed(predicted(id_, 0.25)))
    shadows.store(session, Shadow(id=1, model_version_id=4), id_, packed(predicted(id_, NONE)))
    assert sorted(fits(session, "shadow"), key=str) == [0.25, None]
