"""How long a training takes is told beforehand, from the last one on this machine."""

from collections.abc import Callable
from pathlib import Path

import pytest
from labelled_lines import labelled_lines
from sqlalchemy.orm import Session

from sortline.settings import Settings
from trainer.fine_tuning import speed
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.speed import characters, foretell, foretold, note_speed


def test_what_one_took_foretells_the_next(tmp_path: Path) -> None:
    assert foretold(tmp_path, "tiny", 1000) is None
    (tmp_path / "trainer").mkdir()

    note_speed(tmp_path, "tiny", 1000, 10.0)
    note_speed(tmp_path, "other", 1000, 50.0)

    assert foretold(tmp_path, "tiny", 6000) == pytest.approx(60)
    assert foretold(tmp_path, "unknown", 6000) is None
    (tmp_path / "trainer" / "speed.json").write_text("[broken")
    assert foretold(tmp_path, "tiny", 6000) is None


def test_of_a_long_text_the_window_counts() -> None:
    assert characters(["a" * 10, "b" * 10_000], 256) == 10 + 1024


def test_the_command_line_says_it_before_anybody_waits(
    session: Session, settings: Settings, tiny_base: Path, import_lines: Callable[..., object],
    train_now: Callable[..., int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import_lines(labelled_lines(60))
    ask = Parameters(epochs=4)

    def told() -> str:
        return foretell(session, settings.data_dir, ask, settings.base_model, tiny_base)

    assert told() == ""  # so few take no time
    monkeypatch.setattr(speed, "_MANY", 10)
    before = told()
    train_now(epochs=1)
    monkeypatch.setattr(speed, "_SOON_S", 0.0)

    assert before.endswith(": 4 epochs of 2 steps; how long it takes is told after its first steps")
    assert before.partition(" ")[0] == told().partition(" ")[0]
    assert "; about " in told()
    assert told().endswith("at the speed of the last training here")
