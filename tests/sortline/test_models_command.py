"""sortline models: what forms a version has, and which one serves."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from db.queries import model_forms, model_versions
from sortline.cli.models import command
from sortline.errors import ConflictError
from sortline.settings import Settings
from tests.invoked import Run, invoking


@pytest.fixture
def run(settings: Settings, session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Calls the command in this process, with an active version that has an unproved int8 form."""
    version = model_versions.create(session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1])
    model_forms.add(session, version.id, "whole", "proved", uri="x", sha256="0")
    figures = {"verdict": {"reason": "612 texts do not show it"}}
    model_forms.add(session, version.id, "int8", "unproved", uri="y", sha256="1", figures=figures)
    model_versions.activate(session, version.id, "me")
    session.commit()
    with invoking(command, settings, monkeypatch) as run:
        yield run


def test_forms_are_shown_with_what_each_lacks(run: Run) -> None:
    shown = json.loads(run("show", "1"))

    assert [(form["name"], form["state"], form["serves"]) for form in shown["forms"]] == [
        ("int8", "unproved", False), ("whole", "proved", True),
    ]  # fmt: skip
    assert shown["forms"][0]["figures"]["verdict"]["reason"] == "612 texts do not show it"
    assert shown["form"] == "whole"


def test_a_form_is_served_with_a_reason_and_left_again(run: Run) -> None:
    with pytest.raises(ConflictError, match="it needs a reason to serve"):
        run("serve-form", "1", "int8")

    assert run("serve-form", "1", "int8", "--reason", "we need the speed") == "model version 1 serves in its form int8"
    assert "int8" in run("list")
    assert run("serve-form", "1", "--back") == "model version 1 serves in its form whole"


def test_it_wants_a_form_or_back(run: Run) -> None:
    for arguments in (("serve-form", "1"), ("serve-form", "1", "int8", "--back")):
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
        assert ended.value.code == 2
