"""Log lines: one an event, whatever is in it, as text or as JSON."""

import json
import logging
from collections.abc import Iterator

import pytest

from sortline.logs import set_up_logging

HOSTILE = [
    "a\n2026-01-01 00:00:00,000 ERROR   root: forged",
    'a\n{"level": "ERROR", "message": "forged"}',
    "a\nTraceback\n2026-01-01 00:00:00,000 ERROR   root: forged",
    "a\x1b[2J\x00\x07\x7f\r\u2028\u0085b",
    "\ud800 half a surrogate",
]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_is_one_line(capsys: pytest.CaptureFixture[str], hostile: str) -> None:
    set_up_logging()

    logging.getLogger("line").warning("document %s", hostile)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert " WARNING line: document " in line


@pytest.mark.parametrize("hostile", HOSTILE)
def test_json_is_one_object_a_line_and_says_what_was_said(capsys: pytest.CaptureFixture[str], hostile: str) -> None:
    set_up_logging("INFO", "json")

    logging.getLogger("line").warning("document %s", hostile, extra={"document": hostile, "batch": "b-1"})

    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert line.isascii()
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("WARNING", "line", f"document {hostile}")
    assert (told["document"], told["batch"]) == (hostile, "b-1")
    assert told["time"].endswith("+00:00")


def test_json_holds_nothing_but_what_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("INFO", "json")

    logging.getLogger("line").info("done", extra={"text": "a secret", "entry": "1-0"})

    told = json.loads(capsys.readouterr().err)
    assert told.keys() == {"time", "level", "logger", "message", "entry"}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("hostile", HOSTILE[:3])
def test_a_hostile_exception_forges_no_line(capsys: pytest.CaptureFixture[str], form: str, hostile: str) -> None:
    set_up_logging("INFO", form)

    try:
        raise ValueError(hostile)
    except ValueError:
        logging.getLogger("line").exception("failed")

    head, *rest = capsys.readouterr().err.splitlines()
    if form == "json":
        assert not rest
        assert json.loads(head)["traceback"].startswith("Traceback")
    else:
        assert head.endswith("ERROR   line: failed")
        assert rest
        assert all(line.startswith("    ") for line in rest)
