"""Programs read and choose the risk target; the choice is kept in the database and in the audit log."""

from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from classifier.figures import Guarantee, Offer, VersionFigures
from db.models import AuditEvent, Redecision, RiskTarget
from db.queries import model_versions, risk_targets

URL = "/v1/risk-target"


@pytest.fixture
def version(session: Session) -> int:
    proved = Guarantee(risk_target=0.05, proved=True, accepted=90, errors=1, coverage=0.8, sentence="At most 5 %.")
    aimed = Guarantee(risk_target=0.01, missing=200, sentence="Not proved.")
    figures = VersionFigures(
        offers=[Offer(threshold=2.0, guarantee=aimed), Offer(threshold=0.6, guarantee=proved, coverage=0.8)],
        guarantee=aimed,
    )
    made = model_versions.create(
        session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1], metrics=figures.stored()
    )
    model_versions.activate(session, made.id, "tests")
    session.commit()
    return made.id


def test_a_program_reads_and_chooses_it(web: httpx.Client, session: Session, version: int) -> None:
    before = web.get(URL).json()
    assert (before["target"], before["chosen"], before["setting"]) == (0.01, None, 0.01)
    assert before["sentence"] == "Not proved."
    assert [each["target"] for each in before["offers"]] == [0.005, 0.01, 0.02, 0.05, 0.1]
    assert before["offers"][3] == {
        "target": 0.05, "proved": True, "coverage": 0.8, "told": "proved: 1 wrong of 90 accepted"
    }  # fmt: skip
    assert before["offers"][0]["told"] is None

    after = web.put(URL, json={"target": 0.05}).json()
    assert (after["target"], after["chosen"], after["sentence"]) == (0.05, 0.05, "At most 5 %.")
    assert web.get(URL).json() == after
    assert web.put(URL, json={"target": 0.05}).json() == after, "the same again changes nothing"
    [noted] = session.scalars(select(AuditEvent).filter_by(action="choose_risk_target"))
    assert (noted.actor, noted.detail) == ("token:tests", {"target": 0.05, "before": None})
    assert len(session.scalars(select(Redecision)).all()) == 1, "what waits is to be decided again"

    assert web.put(URL, json={"target": None}).json()["chosen"] is None
    session.rollback()
    assert risk_targets.chosen(session) is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"target": 0.03}, "3 % is not offered; choose one of 0.5 %, 1 %, 2 %, 5 %, 10 %"),
        ({"target": 2}, "less than 1"), ({"target": "0.02"}, "valid number"), ({}, "target"),
        ({"target": 0.02, "more": 1}, "more"),
    ],
)  # fmt: skip
def test_what_is_not_offered_is_refused_with_a_sentence(
    web: httpx.Client, session: Session, body: dict[str, object], why: str
) -> None:
    answer = web.put(URL, json=body)
    assert answer.status_code == (409 if "not offered" in why else 422)
    assert why in answer.json()["detail"]
    assert session.scalars(select(RiskTarget)).all() == []


def test_choosing_needs_the_scope(web: httpx.Client, new_token: Callable[[str, list[str]], None]) -> None:
    new_token("reader", ["train"])
    new_token("sender", ["documents"])
    reader, sender = ({"Authorization": f"Bearer {name}"} for name in ("reader", "sender"))
    assert web.get(URL, headers=reader).status_code == 200
    assert web.put(URL, json={"target": 0.05}, headers=reader).status_code == 403
    assert web.get(URL, headers=sender).status_code == 403
