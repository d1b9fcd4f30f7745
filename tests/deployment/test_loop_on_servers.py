"""The whole loop on servers as people run them: TLS, a private authority, passwords full of signs, a pooler."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Self

import httpx
import pytest
from house import House, until
from labelled_lines import labelled_lines
from receiver import Receiver
from sqlalchemy import select

from db.models import Document, Label, Prediction
from db.queries import merge_labels
from db.session import session
from tests import loaded
from tests.deployment.bed import POSTGRES_PASSWORD, REDIS_PASSWORD, Bed

DATABASE = "loop"
# Of both passwords, as they are and as a URL holds them.
PIECES = ("pg#", "rd#", "fl#", "pg%23", "rd%23", POSTGRES_PASSWORD, REDIS_PASSWORD)
FLOWER = ("ann", "fl#/?%@[x")


@pytest.fixture
def house(bed: Bed, tmp_path: Path) -> Iterator[House]:
    lines = labelled_lines(240)
    for name, chosen in (("train", lines[:181]), ("test", [lines[0], *lines[181:]])):
        (tmp_path / f"{name}.csv").write_text("\n".join(chosen) + "\n", encoding="utf-8")
    bed.make_database(DATABASE)
    settings = {
        "database_url": bed.pooled_url(DATABASE), "redis_url": bed.redis_url(), "redis_ca_file": bed.authority,
        "flower_basic_auth": ":".join(FLOWER), "quantise": False, "retrain_after": 0, "recheck_documents": 0, "webhook_allowed": "127.0.0.1",
        "audit_share": 1e-12, "hidden_share": 0, "overlap_share": 0, "repeat_share": 0,
    }  # fmt: skip
    yield House(tmp_path, **settings)
    bed.drop_database(DATABASE)


class Shown:
    """Everything that was printed or shown, to be searched for passwords at the end."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.said: list[str] = []

    def sortline(self, *arguments: str) -> str:
        done = loaded.run(["sortline", *arguments], self.house.folder, self.house.environment, timeout=280)
        self.said += [done.stdout, done.stderr]
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, url: str) -> str:
        answer = httpx.get(url, auth=FLOWER, timeout=60)
        self.said.append(answer.text)
        return answer.text

    def hold_no_password(self) -> None:
        logs = [self.house.log, *(self.house.folder / ".sortline" / "logs").iterdir()]
        for each in (*self.said, *(log.read_text("utf-8") for log in logs)):
            assert not any(piece in each for piece in PIECES), each[:2000]


class Clients:
    """Twenty clients of the web that send 50 documents each, one after the other; the block ends when all have."""

    def __init__(self, house: House, token: str, name: str) -> None:
        self._url, self._headers, self._name = house.web_url, {"Authorization": f"Bearer {token}"}, name
        self.accepted: set[str] = set()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(20)
        self._sent = [self._pool.submit(self._send, number) for number in range(20)]
        return self

    def __exit__(self, *_: object) -> None:
        with self._pool:
            for each in self._sent:
                self.accepted.update(each.result())

    def _send(self, number: int) -> list[str]:
        ids = [f"{self._name}-{number}-{i}" for i in range(50)]
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=60) as client:
            for id_ in ids:
                document = {"id": id_, "source": "load", "text": f"where is my card, {id_}?"}
                assert client.post("/v1/documents", json={"documents": [document]}).status_code == 202
        return ids


def predicted(house: House) -> set[str]:
    """The ids of the clients' documents that have a prediction."""
    with session(house.settings.postgres_url) as opened:
        documents = select(Document.external_id).join(Prediction, Prediction.document_id == Document.id)
        return set(opened.scalars(documents.where(Document.source == "load")))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_loop_on_servers_with_tls_passwords_and_a_pooler(house: House) -> None:
    shown = Shown(house)
    with house:
        house.wait_up()

        # Import and train, while twenty clients send documents: the first model goes live.
        shown.sortline("import", "test.csv", "--split", "test")
        shown.sortline("import", "train.csv", "--split", "train")
        token = shown.sortline("tokens", "add", "shop", "--scope", "documents", "--scope", "reviews").strip()
        with Clients(house, token, "before") as early:
            trained = json.loads(shown.sortline("train", "--json", "--learning-rate", "0.003", "--epochs", "20"))
        assert trained["status"] == "active"

        # Merge a label, and undo it, while they send as many again: nothing is lost in four pooled connections.
        with Clients(house, token, "after") as late, session(house.settings.postgres_url) as opened:
            ids = dict(opened.execute(select(Label.name, Label.id)).tuples().all())
            merge_labels.merge(opened, ids["transfer"], ids["card"], "ann")
            opened.commit()
            merge_labels.undo_merge(opened, ids["transfer"], "ann")
            opened.commit()
        sent = early.accepted | late.accepted
        assert len(sent) == 2000
        until(lambda: predicted(house) == sent, 180)

        # Classify, and a webhook tells of it.
        hook = Receiver()
        shown.sortline("webhooks", "add", "crm", hook.url)
        web = httpx.Client(base_url=house.web_url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        probes = count()

        def hears() -> bool:  # workers look for new webhooks once a second
            probe = {"id": f"probe {next(probes)}", "source": "load", "text": "where is my card"}
            assert web.post("/v1/documents", json={"documents": [probe]}).status_code == 202
            return bool(hook.told())

        until(hears)
        sent = [{"id": f"{i}", "source": "mail", "text": f"is my transfer {i} an arrived one"} for i in range(40)]
        answer = web.post("/v1/documents", params={"wait": 30}, json={"documents": sent})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["results"]) == 40
        until(lambda: {id_ for id_, _ in hook.told()} >= {f"{i}" for i in range(40)})

        # Decide: upstream gets the correction.
        reviews = [{"source": "mail", "id": "7", "label": "cash", "reviewer": "ann"}]
        assert web.post("/v1/reviews", json={"reviews": reviews}).status_code == 201
        until(lambda: ("7", "cash") in hook.told())
        assert web.get("/v1/documents/mail/7").json()["state"] == "reviewed"
        hook.stop()

        # Flower sees the processes on the encrypted broker.
        flower = json.loads(shown.sortline("status", "--json"))["flower_url"]
        until(lambda: "celery@" in shown.get(f"{flower}/api/workers?refresh=1"))
        for page in ("/workers", "/broker"):
            shown.get(flower + page)
        for page in ("/health/ready", "/metrics"):
            shown.get(house.web_url + page)

        # A backup of the line as it runs; what is erased later does not come back with it.
        shown.sortline("backup", "kept")
        shown.sortline("erase", "--source", "mail", "--id", "3", "--yes")
        assert web.get("/v1/documents/mail/3").status_code == 404

    shown.said.append(house.log.read_text("utf-8"))
    shown.sortline("restore", "kept", "--force")
    with house:
        house.wait_up()
        assert web.get("/v1/documents/mail/3").status_code == 404
        found = web.get("/v1/documents/mail/7").json()
        assert (found["state"], found["review"]["label"]) == ("reviewed", "cash")
        again = {"documents": [{"id": "new", "source": "mail", "text": "the cash machine ate it"}]}
        assert web.post("/v1/documents", json=again).status_code == 202
        until(lambda: web.get("/v1/documents/mail/new").is_success, 120)
    shown.hold_no_password()
