"""The page on files: each example is read, or refused, as it says."""

import re
from pathlib import Path

import pytest

from sortline.cli.import_ import command
from sortline.files.columns import ID_NAMES, LABEL_NAMES, TEXT_NAMES
from sortline.files.opening import opened
from sortline.files.quoting import QUOTINGS
from sortline.files.text_kinds import FORMATS
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
READ = re.findall(r"<!-- read as: (.+?) \| (.+?) -->\n```\n(.*?)```", PAGE, re.DOTALL)
REFUSED = re.findall(r"<!-- refused: (\d+) \| (.+?) -->\n```\n(.*?)```", PAGE, re.DOTALL)


def test_there_are_examples() -> None:
    assert len(READ) == 8
    assert len(REFUSED) == 3
    assert len(READ) + len(REFUSED) == PAGE.count("<!--")


@pytest.mark.parametrize(("shape", "labels", "content"), READ)
def test_an_example_is_read_as_the_page_says(tmp_path: Path, shape: str, labels: str, content: str) -> None:
    (tmp_path / "a").write_text(content, encoding="utf-8")

    with opened(tmp_path / "a") as reading:
        rows = list(reading.rows())

    assert reading.shape == shape
    assert ["!" if row.error else row.label for row in rows] == [label.strip() for label in labels.split(",")]


@pytest.mark.parametrize(("line", "reason", "content"), REFUSED)
def test_an_example_is_refused_as_the_page_says(tmp_path: Path, line: str, reason: str, content: str) -> None:
    (tmp_path / "a").write_text(content, encoding="utf-8")

    with opened(tmp_path / "a") as reading:
        (refused,) = [row for row in reading.rows() if row.error]

    assert refused.line == int(line)
    assert reason in refused.error


def test_names_and_options_are_those_of_the_code() -> None:
    for names in (TEXT_NAMES, LABEL_NAMES, ID_NAMES):
        assert f"| {', '.join(names)} |" in PAGE
    for each in QUOTINGS:
        assert f"| `{each}` |" in PAGE
    assert f"| {', '.join(FORMATS)} |" in PAGE
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert {each for each in re.findall(r"--[a-z-]+", PAGE) if not each.startswith("---") and each != "--"} <= options
