"""What the base model can't read of texts is told by the training, its report and card, the command line, the doctor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from labelled_lines import labelled_lines
from sqlalchemy import select
from sqlalchemy.orm import Session

from classifier.checkpoint_folder import read_checkpoint
from classifier.figures import VersionFigures
from classifier.readable import MULTILINGUAL
from db.models import TrainingRun
from db.queries import model_versions
from sortline.cli.checks.base_model import check_base_model, check_texts
from sortline.cli.checks.finding import Finding
from sortline.cli.outcome import print_outcome
from sortline.errors import TrainingError
from sortline.settings import Settings
from trainer.data.base_texts import base_readability
from trainer.tune import tune

# Each letter becomes one of another script, so that texts stay as different as they are.
_TO_DEVANAGARI = {ord("a") + i: chr(0x915 + i) for i in range(26)}
_TO_CYRILLIC = {ord("a") + i: chr(0x430 + i) for i in range(26)}
HINDI = ["मेरा कार्ड कहाँ है", "कार्ड खो गया है", "पैसे वापस चाहिए", "पैसे वापस कब मिलेंगे"]


def findings(session: Session, settings: Settings) -> dict[str, Finding]:
    return {
        each.name: each for each in (*check_texts(session, settings.base_model), *check_base_model(settings.base_model))
    }


def test_a_training_on_texts_that_it_cannot_read_says_so(
    session: Session, settings: Settings, import_lines: Callable[..., Any], train_now: Callable[..., int],
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    lines = [line.rpartition(",") for line in labelled_lines(60)[1:]]
    import_lines(["text,label", *(f"{text.translate(_TO_DEVANAGARI)},{label}" for text, _, label in lines)])
    version = model_versions.get(session, train_now(epochs=1))

    readable = version.metrics["readability"]
    assert readable["poor"]
    assert readable["over"] == readable["texts"] > 20
    assert any(MULTILINGUAL[0] in message for message in caplog.messages)  # before the fine-tuning
    for page in (
        Path(version.metrics["report"]) / "report.html",
        read_checkpoint(Path(version.checkpoint_uri), version.sha256).folder / "README.md",
    ):
        assert (
            "that the base model can&#39;t read" in page.read_text()
            or "that the base model can't read" in page.read_text()
        )
        assert MULTILINGUAL[0] in page.read_text()
    print_outcome(version.id, version.status, VersionFigures.model_validate(version.metrics))
    told = " ".join(capsys.readouterr().out.split())
    assert told.index("more than a tenth of characters") < told.index("documents train")

    found = findings(session, settings)
    assert (found["texts"].level, found["base model"].level) == ("warn", "ok")
    assert MULTILINGUAL[0] in str(found["texts"].advice)


REFUSED = [
    pytest.param(["एक,card", "दो,card"], {}, "the same label", id="one label"),
    pytest.param(["एक कार्ड,card", "दो कार्ड,card", "पैसे वापस,cash"], {}, "only one example", id="rare label"),
    pytest.param(
        ["मेरा कार्ड कहाँ है,card", "कार्ड खो गया है,card", "पैसे वापस चाहिए,cash", "पैसे वापस कब मिलेंगे,cash"],
        {"split": "test"}, "no label has documents to train on", id="splits",
    ),
    pytest.param(
        [f"मेरा कार्ड मुझे आज तक नहीं मिला है {number},{label}" for number, label in enumerate(["card", "cash"] * 6)],
        {"split": "test"}, "Texts that nearly repeat", id="near-duplicates",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "how", "refusal"), REFUSED)
def test_a_refused_training_says_too_that_the_base_model_can_not_read_the_texts(
    session: Session, import_lines: Callable[..., Any], train_now: Callable[..., int],
    lines: list[str], how: dict[str, Any], refusal: str,
) -> None:  # fmt: skip
    import_lines(["text,label", *lines], **how)

    with pytest.raises(TrainingError, match=refusal) as refused:
        train_now()

    assert f"{len(lines)} of {len(lines)} texts hold more than a tenth of characters" in str(refused.value)
    assert MULTILINGUAL[0] in str(refused.value)
    assert session.scalars(select(TrainingRun)).one().error == str(refused.value)


def test_a_refused_training_on_readable_texts_speaks_of_the_refusal_alone(
    import_lines: Callable[..., Any], train_now: Callable[..., int]
) -> None:
    import_lines(["text,label", "where is my card,card", "the card has not arrived,card"])
    with pytest.raises(TrainingError, match=r"the same label, 'card'$"):
        train_now()


def test_a_refused_tuning_says_so_too_unless_one_of_its_base_models_can_read_the_texts(
    settings: Settings, tiny_base: Path, import_lines: Callable[..., Any]
) -> None:
    lines = [line.rpartition(",") for line in labelled_lines(60)[1:]]
    import_lines(["text,label", *(f"{text.translate(_TO_CYRILLIC)},{label}" for text, _, label in lines)])

    with pytest.raises(TrainingError, match=f"tuning needs 50.*{MULTILINGUAL[0]}"):
        tune(settings, 1, "one", (str(tiny_base),))
    with pytest.raises(TrainingError, match=r"tuning needs 50$"):
        tune(settings, 1, "two", (str(tiny_base), "all-MiniLM-L6-v2"))


def test_readable_texts_need_no_word(session: Session, settings: Settings, import_lines: Callable[..., Any]) -> None:
    import_lines(["text,label", "where is my card,card", "the cash machine ate it,cash"])
    found = findings(session, settings)["texts"]
    assert (found.level, found.found, found.advice) == ("ok", "The base model can read the texts", None)


def test_before_a_training_the_base_model_is_asked(tiny_base: Path) -> None:
    found = base_readability([HINDI[0], "where is my card"], str(tiny_base))
    assert found is not None
    assert (found.texts, found.over) == (2, 1)
    assert base_readability(["where is my card"] * 5000, str(tiny_base)).texts == 2000  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["nobody/has-this-here", "/nowhere/at/all", "no such name!"])
def test_a_base_model_that_is_not_here_says_nothing(name: str) -> None:
    assert base_readability(["where is my card"], name) is None


def test_the_doctor_names_what_is_wrong_with_the_base_model(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (found,) = check_base_model(str(tmp_path / "adapter"))
    assert found.level == "fail"
    assert "adapter" in found.found
    (found,) = check_base_model("nobody/has-this-here")
    assert found.level == "warn"
