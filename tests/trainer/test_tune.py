"""Tuning searches on validation, can be interrupted and shared, and is used only when it is better."""

import re
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from labelled_lines import labelled_lines
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Snapshot, TunedParameters
from db.queries import tuned_parameters
from sortline.errors import TrainingError
from sortline.settings import Settings
from trainer import tune as module
from trainer.data.import_file import ImportReport
from trainer.data.training_data import TrainingData
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.prepare import effective_parameters
from trainer.tune import TuningProgress, tune

Import = Callable[..., ImportReport]


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two learning rates, one of which learns nothing in so few steps."""

    def suggest(trial: optuna.Trial, _data: TrainingData, _base_models: tuple[str, ...]) -> dict[str, object]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-2, log=True),
            "epochs": trial.suggest_int("epochs", 2, 16),
        }

    monkeypatch.setattr(module, "_suggest", suggest)


def test_a_study_goes_on_where_it_was_and_its_best_parameters_are_used(
    session: Session, settings: Settings, import_lines: Import
) -> None:
    import_lines(labelled_lines(600))
    told: list[TuningProgress] = []

    def interrupt(now: TuningProgress) -> None:
        told.append(now)
        if now.trial == 2:
            raise KeyboardInterrupt

    assert tune(settings, 9, "one", timeout_s=0.0, on_progress=interrupt) is None
    assert told == []
    with pytest.raises(KeyboardInterrupt):
        tune(settings, 2, "one", on_progress=interrupt)
    outcome = tune(settings, 2, "one", on_progress=told.append)

    assert outcome is not None
    assert outcome.trials == 2
    assert [each.trial for each in told if each.stage.startswith("step 1 of")][:3] == [1, 2, 3]
    assert len(session.scalars(select(Snapshot)).all()) == 1  # the same documents for every trial
    page = (Path(outcome.report) / "report.html").read_text()
    assert page.count("<svg") >= 3
    assert not re.search(r"(src|href)=.?https?:", page)
    stored = session.scalars(select(TunedParameters)).all()
    assert [row.parameters for row in stored] == ([outcome.best] if outcome.used else [])
    low, high = outcome.gain_interval
    assert outcome.used == (outcome.gain > 0)
    assert low <= outcome.gain <= high


def test_tuned_parameters_stand_under_what_is_asked_for(session: Session) -> None:
    tuned_parameters.store(
        session, study="one", parameters={"epochs": 7, "learning_rate": 0.002}, macro_f1=0.9, untuned_macro_f1=0.8,
        trials=3, report_uri="x",
    )  # fmt: skip

    asked = effective_parameters(session, {"epochs": 2}, "some-model")
    other = effective_parameters(session, {"base_model": "another-model"}, "some-model")

    assert (asked.epochs, asked.learning_rate) == (2, 0.002)
    assert (other.epochs, other.learning_rate) == (0, 0)


@pytest.mark.parametrize(
    ("asked", "documents", "labels", "epochs", "patience"),
    [
        ({}, 8882, 77, 5, 2),
        ({}, 888, 77, 22, 9),
        ({}, 960, 4, 7, 3),
        ({}, 10, 2, 30, 12),
        ({"batch_size": 8}, 888, 77, 6, 3),
        ({"epochs": 3}, 888, 77, 3, 2),
        ({"patience": 1}, 888, 77, 22, 1),
    ],
)
def test_few_documents_are_gone_through_more_often(
    asked: dict[str, int], documents: int, labels: int, epochs: int, patience: int
) -> None:
    settled = Parameters(**asked).settled(documents, labels)

    assert (settled.epochs, settled.patience) == (epochs, patience)


def test_too_few_documents_to_judge_on_are_refused(settings: Settings, import_lines: Import) -> None:
    import_lines(labelled_lines(60))

    with pytest.raises(TrainingError, match=r"there are \d+ validation documents?, and tuning needs 50"):
        tune(settings, 1, "one")


def test_a_study_whose_every_trial_fails_says_why(
    settings: Settings, import_lines: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_lines(labelled_lines(600))
    diverges = {"learning_rate": 0.99, "epochs": 50, "head_factor": 1000.0, "weight_decay": 10.0}
    monkeypatch.setattr(module, "_suggest", lambda *_: diverges)

    with pytest.raises(TrainingError, match="every trial failed, the first because: the training diverged"):
        tune(settings, 1, "one")
