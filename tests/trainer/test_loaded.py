"""Fine-tunings that begin as copies (tests/loaded.py) end as those do that a user starts."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sortline.errors import TrainingError
from sortline.settings import Settings
from tests.trainer.test_fine_tune import job
from trainer.fine_tuning.fine_tune import Machine, Progress, fine_tune


def running(work: Path) -> list[psutil.Process]:
    """The copies that have files of a work folder open: other test processes have some of their own."""
    copies = [
        each
        for each in psutil.process_iter(["cmdline", "open_files"])
        if "tests.keeper" in (each.info["cmdline"] or [])
    ]
    return [
        each for each in copies if any(Path(file.path).is_relative_to(work) for file in each.info["open_files"] or [])
    ]


def test_how_a_copy_ends_is_told(tiny_base: Path, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="can't be loaded"):
        fine_tune(job(tmp_path), tmp_path / "failed", Machine.of(settings))

    learned = fine_tune(job(tiny_base), tmp_path / "work", Machine.of(settings))

    assert learned.learning.steps[-1][0] == 9
    assert (tmp_path / "work" / "model" / "model.safetensors").exists()


def test_a_copy_ends_with_its_launcher(
    tiny_base: Path, settings: Settings, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    seen: list[int] = []

    def stop(_: Progress) -> None:
        seen.append(len(running(tmp_path)))
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        fine_tune(job(tiny_base, epochs=100), tmp_path / "work", Machine.of(settings), stop)

    assert seen == [1]
    eventually(lambda: not running(tmp_path))
