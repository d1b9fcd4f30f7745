"""A tiny base model, labelled documents, and training runs on them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session
from tiny_bert import build_tiny_bert

from db.queries import training_runs
from sortline.settings import Settings
from trainer.data.import_file import ImportReport, import_file
from trainer.run import train


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a base model that tests read and must not change."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    folder.mkdir()
    build_tiny_bert(folder)
    return folder


@pytest.fixture
def settings(settings: Settings, tiny_base: Path, copies: None) -> Settings:
    """The test's settings, with the tiny base model; torch needs no conversion of each small model."""
    chosen = {"base_model": str(tiny_base), "device": "cpu", "engine": "torch"}
    return settings.model_copy(update=chosen)


@pytest.fixture
def import_lines(session: Session, tmp_path: Path) -> Callable[..., ImportReport]:
    """Writes lines into a file and imports it: ``import_lines(lines, split="train")``."""

    def import_lines(lines: Iterable[str], name: str = "labelled.csv", **options: Any) -> ImportReport:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        report = import_file(session, path, **options)
        session.commit()
        return report

    return import_lines


@pytest.fixture
def train_now(session: Session, settings: Settings) -> Callable[..., int]:
    """Makes a training run and carries it out: ``train_now(epochs=1)`` gives its model version's id."""

    def train_now(**parameters: Any) -> int:
        run = training_runs.create(session, "test", {"epochs": 2, "learning_rate": 1e-3, **parameters})
        session.commit()
        try:
            version_id = train(settings, run.id)
        finally:
            session.expire_all()  # what the training wrote, it wrote in sessions of its own
        assert version_id is not None
        return version_id

    return train_now
