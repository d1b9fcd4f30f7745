"""Workers decide at the risk target that people have chosen, without a new training or a second load."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from tiny_bert import LABELS, build_tiny_checkpoint

from classifier.checkpoint import Calibration
from classifier.figures import Guarantee, Offer, Unproved, VersionFigures
from db.models import AuditEvent, Label, ModelVersion
from db.queries import model_versions, risk_targets
from sortline.settings import Settings
from worker.active_model import Models

TEXTS = ["where is my card", "the cash machine ate it", "is my transfer an arrived transfer"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"engine": "torch", "device": "cpu"})


@pytest.fixture(autouse=True)
def labels(session: Session) -> None:
    session.add_all([Label(id=11 + i, name=name) for i, name in enumerate(LABELS)])
    session.commit()


def add_version(
    session: Session, folder: Path, threshold: float, figures: VersionFigures, **more: object
) -> ModelVersion:
    """An active version whose checkpoint is sealed with a threshold."""
    calibrations = {"default": Calibration(threshold=threshold)}
    stored = build_tiny_checkpoint(folder / f"v{threshold}", calibrations=calibrations)
    version = model_versions.create(
        session, checkpoint_uri=str(stored.folder), sha256=stored.sha256, base_model="tiny", label_ids=[11, 12, 13],
        metrics=figures.stored(), **more,
    )  # fmt: skip
    model_versions.activate(session, version.id, "tests")
    session.commit()
    return version


def offers(**thresholds: float) -> VersionFigures:
    made = [
        Offer(threshold=each, guarantee=Guarantee(risk_target=float(name.removeprefix("p")) / 1000, proved=each <= 1))
        for name, each in thresholds.items()
    ]
    return VersionFigures(offers=made, guarantee=made[0].guarantee)


def accepted(models: Models) -> int:
    models.check_promotion()
    assert models.current is not None
    return int(models.current.classifier.decide(models.current.classifier.predict_proba(TEXTS)).accept.sum())


def choose(session: Session, target: float | None) -> None:
    risk_targets.choose(session, target, "ann")
    session.commit()


def test_a_choice_is_taken_up_and_taken_back(session: Session, settings: Settings, tmp_path: Path) -> None:
    add_version(session, tmp_path, 2.0, offers(p10=2.0, p20=0.01, p50=0.01))
    models = Models(settings)
    assert accepted(models) == 0
    before = models.current

    choose(session, 0.02)
    assert accepted(models) == 3
    assert models.current is not before
    assert models.current.classifier.engine is before.classifier.engine  # loaded once
    choose(session, 0.01)
    assert accepted(models) == 0
    choose(session, None)
    assert accepted(models) == 0
    choose(session, 0.05)
    assert accepted(models) == 3

    noted = session.query(AuditEvent).filter(AuditEvent.action == "choose_risk_target").order_by(AuditEvent.id).all()
    assert [each.detail for each in noted] == [
        {"target": 0.02, "before": None}, {"target": 0.01, "before": 0.02}, {"target": None, "before": 0.01},
        {"target": 0.05, "before": None},
    ]  # fmt: skip


def test_a_new_version_and_a_rollback_decide_at_the_choice(
    session: Session, settings: Settings, tmp_path: Path
) -> None:
    first = add_version(session, tmp_path, 2.0, offers(p10=2.0, p20=0.01))
    models = Models(settings)
    choose(session, 0.02)
    assert accepted(models) == 3
    add_version(session, tmp_path, 0.01, offers(p10=0.01, p20=2.0))
    assert accepted(models) == 0
    choose(session, 0.01)
    assert accepted(models) == 3

    model_versions.rollback(session, "ann")
    session.commit()

    assert accepted(models) == 0  # the version before, still loaded, at the new choice
    assert models.current is not None
    assert models.current.version_id == first.id


@pytest.mark.parametrize(("may_lack_proof", "expected"), [(True, 3), (False, 0)])
def test_versions_that_accepted_without_proof_go_on_only_where_the_upgrade_says_so(
    session: Session, settings: Settings, tmp_path: Path, may_lack_proof: bool, expected: int
) -> None:
    unproved = VersionFigures(guarantee=Guarantee(proved=False, unproved=Unproved(used=True, threshold=0.01)))
    add_version(session, tmp_path, 0.01, unproved, may_lack_proof=may_lack_proof)

    assert accepted(Models(settings)) == expected
