"""`sortline models target`: what can be promised is shown, and one promise is chosen."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest
from sqlalchemy.orm import Session

from db.models import AuditEvent
from db.queries import model_versions, risk_targets

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def version(session: Session) -> int:
    """An active version that proves 5 %, and not the 1 % that it was trained for."""
    unproved = {"risk_target": 0.01, "proved": False, "coverage": 0.0, "missing": 212, "sentence": "Not proved for 1 %.",
                "unproved": {"used": False}}  # fmt: skip
    proved = {
        "risk_target": 0.05,
        "proved": True,
        "accepted": 84,
        "errors": 1,
        "coverage": 0.84,
        "sentence": "At most 5 %.",
    }
    offers = [{"threshold": 2.0, "guarantee": unproved}, {"threshold": 0.8, "guarantee": proved}]
    metrics = {"threshold": 2.0, "guarantee": unproved, "offers": offers}
    made = model_versions.create(
        session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1], metrics=metrics, status="active"
    )
    session.commit()
    return made.id


def test_targets_are_shown_chosen_and_taken_back(sortline: Run, session: Session, version: int) -> None:
    shown = sortline("models", "target").stdout
    assert "risk target: 1 %, as set" in shown
    assert "about 212 more held-out decisions" in shown

    chosen = sortline("models", "target", "5%").stdout

    assert "risk target: 5 %, as chosen" in chosen
    assert "At most 5 %." in chosen
    assert "5 % (in force)" in chosen
    assert risk_targets.chosen(session) == 0.05
    assert session.query(AuditEvent).filter(AuditEvent.action == "choose_risk_target").count() == 1
    told = json.loads(sortline("models", "target", "--as-set", "--json").stdout)
    assert (told["chosen"], told["setting"], len(told["offers"])) == (None, 0.01, 2)


@pytest.mark.parametrize(
    ("written", "why"),
    [("3%", "3 % is not offered; choose one of 0.5 %, 1 %, 2 %, 5 %, 10 %"), ("lots", "is not a risk target")],
)
def test_what_is_not_offered_changes_nothing(sortline: Run, session: Session, written: str, why: str) -> None:
    run = sortline("models", "target", written)

    assert run.returncode != 0
    assert why in " ".join(run.stderr.replace("│", " ").split())
    assert risk_targets.chosen(session) is None


def test_without_a_model_the_choice_is_kept_for_the_next_one(sortline: Run, session: Session) -> None:
    assert "no model version with a promise is active" in sortline("models", "target", "2%").stdout
    assert risk_targets.chosen(session) == 0.02
