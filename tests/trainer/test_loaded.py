"""Fine-tunings that begin as copies (tests/loaded.py) end as those do that a user starts."""

import shlex
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sortline.errors import TrainingError
from sortline.settings import Settings
from tests.trainer.test_fine_tune import job
from trainer.fine_tuning.fine_tune import Machine, Progress, fine_tune


def copies(launcher: str) -> list[psutil.Process]:
    """What the keeper of this launcher has running."""
    *_, place = shlex.split(launcher)
    (keeper,) = [each for each in psutil.Process().children() if each.cmdline()[-2:] == ["tests.loaded", place]]
    return keeper.children(recursive=True)


def test_how_a_copy_ends_is_told(tiny_base: Path, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="can't be loaded"):
        fine_tune(job(tmp_path), tmp_path / "failed", Machine.of(settings))

    learned = fine_tune(job(tiny_base), tmp_path / "work", Machine.of(settings))

    assert learned.learning.steps[-1][0] == 9
    assert (tmp_path / "work" / "model" / "model.safetensors").exists()


def test_a_copy_ends_with_its_launcher(
    tiny_base: Path, settings: Settings, loaded: str, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    seen: list[int] = []

    def stop(_: Progress) -> None:
        seen.append(len(copies(loaded)))
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        fine_tune(job(tiny_base, epochs=100), tmp_path / "work", Machine.of(settings), stop)

    assert seen == [2]  # the copy, and what minds it
    eventually(lambda: not copies(loaded))
