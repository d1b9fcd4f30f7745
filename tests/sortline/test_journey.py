"""What the README promises, from an empty folder to labels: `sortline up`, every process, a tiny real BERT."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from labelled_lines import labelled_lines
from tiny_bert import build_tiny_bert

from tests.conftest import ROOT, find_free_port

SORTLINE = str(Path(sys.executable).parent / "sortline")
CARD = "where is my card? please help, the card has not arrived"


class House:
    """A folder in which Sortline is up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.web_port = find_free_port()
        build_tiny_bert(folder / "base")
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "SORTLINE_BASE_MODEL": str(folder / "base"),
            "SORTLINE_ENGINE": "torch",
            "SORTLINE_DEVICE": "cpu",
            "SORTLINE_WEB_PORT": str(self.web_port),
            "SORTLINE_FLOWER_PORT": str(find_free_port()),
        }
        self.log = folder / "up.log"

    def __enter__(self) -> "House":
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [SORTLINE, "up"], cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(90)

    def sortline(self, *arguments: str, **options: Any) -> str:
        """Run a command as a user does, and return what it prints."""
        done = subprocess.run(
            [SORTLINE, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=280,
            **options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.sortline("status", "--json"))
        return found

    def processes(self) -> list[psutil.Process]:
        notes = json.loads((self.folder / ".sortline" / "run.json").read_text())
        return [psutil.Process(note["pid"]) for note in notes]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    (tmp_path / "labelled.csv").write_text("\n".join(labelled_lines(240)) + "\n", encoding="utf-8")
    with House(tmp_path) as up:
        until(lambda: "celery@" in up.log.read_text() and answers(up), 90)
        yield up


def answers(house: House) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{house.web_port}/health/ready").is_success
    except httpx.TransportError:
        return False


def until(what: Callable[[], object], timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, f"not within {timeout:g} s"
        time.sleep(0.2)


@pytest.mark.timeout(300)
def test_from_an_empty_folder_to_labels_and_back(house: House) -> None:
    processes = house.processes()
    # Documents wait, and the status says why.
    house.sortline("enqueue", "-", "--format", "lines", "--source", "early", input=CARD)
    assert "no model is active" in house.sortline("status")

    # Labelled files become a model, by the command line; the first one goes live by itself.
    imported = json.loads(house.sortline("import", "labelled.csv", "--json"))
    assert (imported["documents"], imported["reviews"]) == (240, 240)
    assert json.loads(house.sortline("import", "labelled.csv", "--json"))["documents"] == 0
    first = json.loads(house.sortline("train", "--epochs", "20", "--learning-rate", "0.003", "--json"))
    assert first["status"] == "active"
    assert json.loads(house.sortline("classify", CARD, "--json"))["label"] == "card"

    # What waited is classified now; other doors are open too.
    until(lambda: house.status()["lanes"]["bulk"]["backlog"] == 0)
    token = house.sortline("tokens", "add", "shop").strip()
    web = httpx.Client(base_url=f"http://127.0.0.1:{house.web_port}", headers={"Authorization": f"Bearer {token}"})
    sent = {"documents": [{"id": "1", "text": CARD, "source": "shop"}]}
    assert web.post("/v1/documents", json=sent).status_code == 202
    until(lambda: web.get("/v1/documents/shop/1").is_success)
    state = web.get("/v1/documents/shop/1").json()
    assert (state["label"], state["model_version"]) == ("card", first["model_version"])

    # The trainer process makes a second model, too slowly for so few examples: the gate refuses it. Forced, it is
    # noticed by the worker, and rolled back.
    run = web.post("/v1/training-runs").json()
    until(lambda: web.get(f"/v1/training-runs/{run['id']}").json()["state"] == "done", 120)
    second = web.get(f"/v1/training-runs/{run['id']}").json()["model_version_id"]
    shown = json.loads(house.sortline("models", "show", str(second)))
    assert (shown["status"], shown["metrics"]["gate"]["outcome"]) == ("rejected", "refused")
    house.sortline("models", "promote", str(second), "--force", "--reason", "a drill")
    until(lambda: house.status()["workers"][0]["model_version"] == second, 30)
    house.sortline("models", "rollback")
    until(lambda: house.status()["workers"][0]["model_version"] == first["model_version"], 30)

    # One signal ends it all.
    house.process.send_signal(signal.SIGINT)
    assert house.process.wait(90) == 0
    assert not [process for process in processes if process.is_running()]


@pytest.mark.timeout(600)
def test_the_demo(tmp_path: Path) -> None:
    house = House(tmp_path)
    del house.environment["SORTLINE_BASE_MODEL"]  # the packaged one: a random one would be refused by the gate

    said = house.sortline("demo", "--once", "--documents", "50")

    assert "50 documents through the queue" in said
    assert "right, by the sample's true labels" in said
    assert not (tmp_path / ".sortline" / "run.json").exists()
    again = house.sortline("demo", "--once", "--documents", "10")
    assert "there is a model already" in again
