"""sortline webhooks: add, list, test, pause, resume, rotate, dead, send-again, remove."""

import json
from collections.abc import Callable, Iterator

import pytest
from receiver import Receiver
from sqlalchemy import text
from sqlalchemy.orm import Session

from sortline.cli.examine import examine
from sortline.cli.webhooks import command
from sortline.errors import SortlineError
from sortline.settings import Settings
from tests.invoked import Run, invoking


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allowed": "127.0.0.1"})


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Calls the command in this process; returns what it prints, and raises what it raises."""
    with invoking(command, settings, monkeypatch) as run:
        yield run


def test_the_life_of_a_webhook(run: Run, session: Session, settings: Settings) -> None:
    there = Receiver()
    secret = run("add", "crm", there.url, "--source", "mail", "--event", "classified")
    assert run("test", "crm") == "the ping arrived"
    there.requests[0].verify(secret)
    (listed,) = json.loads(run("list", "--json"))
    assert (listed["sources"], listed["events"], listed["state"]) == (["mail"], ["classified"], "active")
    assert secret not in run("list")

    run("pause", "crm")
    found = [finding for finding in examine(settings) if finding.name == "webhook crm"]
    assert [(finding.level, finding.found[:10]) for finding in found] == [("warn", "paused: by")]
    (paused,) = json.loads(run("list", "--json"))
    assert paused["state"] == "paused"
    run("resume", "crm")
    assert run("rotate", "crm") != secret
    session.execute(
        text("""
        INSERT INTO webhook_deliveries (webhook_id, source, external_id, event, state, attempts, ended_at, error)
        SELECT id, 'mail', 'a', '{"event": "classified", "source": "mail", "id": "a"}', 'dead', 9, now(), 'it answers 500'
        FROM webhooks""")
    )
    session.commit()
    (letter,) = json.loads(run("dead", "crm", "--json"))
    assert (letter["webhook"], letter["error"], letter["attempts"]) == ("crm", "it answers 500", 9)
    assert "it answers 500" in run("dead")
    assert json.loads(run("send-again", "crm", "--json")) == {"sent_again": 1}

    there.stop()
    with pytest.raises(SortlineError, match="the ping did not arrive"):
        run("test", "crm")
    run("remove", "crm")
    assert run("list") == "no webhooks"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "crm", "http://hooks.example.com/"], "must start with https://"),
        (["add", "crm", "https://169.254.169.254/"], "not a public address"),
        (["add", " crm", "https://hooks.example.com/"], "a name has 1 to 100 visible characters"),
        (["pause", "crm"], "there is no webhook crm"),
        (["dead", "crm"], "there is no webhook crm"),
    ],
)
def test_wrong_use_is_named(run: Run, arguments: list[str], said: str) -> None:
    with pytest.raises(SortlineError, match=said):
        run(*arguments)


def test_the_command_line_has_it(sortline: Callable[..., object]) -> None:
    done = sortline("webhooks", "add", "crm", "http://hooks.example.com/")
    assert (done.returncode, done.stderr) == (1, "sortline: a webhook's URL must start with https://\n")
