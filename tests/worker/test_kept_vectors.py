"""Which vectors a worker stores: all, as long as documents don't come too fast."""

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.intake import AuditShares
from worker import kept_vectors
from worker.kept_vectors import KeptVectors

_AUDITS = AuditShares(later=0.01, first=0.2, documents=3)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(kept_vectors.time, "monotonic", lambda: now[0])
    return now


def chosen(kept: KeptVectors, session: Session, decisions: list[str], chances: float | list[float] = 0.5) -> list[int]:
    accepted = np.array([decision == "accept" for decision in decisions])
    return kept.choose(session, accepted, np.broadcast_to(chances, accepted.shape)).tolist()


def test_a_twentieth_at_once_then_as_many_as_last_for_an_hour(session: Session, clock: list[float]) -> None:
    kept = KeptVectors(7_200, AuditShares(0.01))
    assert chosen(kept, session, ["accept"] * 300) == list(range(300))
    assert len(chosen(kept, session, ["accept"] * 300)) == 60
    assert chosen(kept, session, ["accept"] * 300) == []
    clock[0] = 2.0
    assert chosen(kept, session, ["accept"] * 300) == [74, 149, 224, 299], "evenly, two a second"
    clock[0] = 10_000.0
    assert len(chosen(kept, session, ["accept"] * 9_000)) == 360, "no more than a twentieth is saved up"


def test_what_a_person_will_see_always_has_one(session: Session, clock: list[float]) -> None:
    kept = KeptVectors(0, AuditShares(0.01))
    decisions = ["accept", "review", "accept", "accept", "accept"]
    assert chosen(kept, session, decisions, [0.5, 0.5, 0.5, 0.009, 0.011]) == [1, 3]


def test_among_the_first_documents_more_may_be_drawn(session: Session, clock: list[float]) -> None:
    kept = KeptVectors(0, _AUDITS)
    assert chosen(kept, session, ["accept"], 0.1) == [0]
    session.execute(
        text(
            "INSERT INTO documents (source, external_id, text, content_hash, lane) SELECT 'a', n::text, 't', '', 'bulk' FROM generate_series(1, 4) n"
        )
    )
    assert chosen(kept, session, ["accept"], 0.1) == []
