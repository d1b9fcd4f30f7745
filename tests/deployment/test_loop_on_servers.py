"""The whole loop on servers as people run them: TLS, a private authority, passwords full of signs, a pooler."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from house import SORTLINE, House, until
from labelled_lines import labelled_lines
from receiver import Receiver

from tests.deployment.bed import POSTGRES_PASSWORD, REDIS_PASSWORD, Bed

DATABASE = "loop"
# Of both passwords, as they are and as a URL holds them.
PIECES = ("pg#", "rd#", "fl#", "pg%23", "rd%23", POSTGRES_PASSWORD, REDIS_PASSWORD)
FLOWER = ("ann", "fl#/?%@[x")


@pytest.fixture
def house(bed: Bed, tmp_path: Path, loaded: str) -> Iterator[House]:
    lines = labelled_lines(240)
    for name, chosen in (("train", lines[:181]), ("test", [lines[0], *lines[181:]])):
        (tmp_path / f"{name}.csv").write_text("\n".join(chosen) + "\n", encoding="utf-8")
    bed.make_database(DATABASE)
    settings = {
        "database_url": bed.pooled_url(DATABASE), "redis_url": bed.redis_url(), "redis_ca_file": bed.authority,
        "flower_basic_auth": ":".join(FLOWER), "quantise": False, "retrain_after": 0, "recheck_documents": 0, "webhook_allowed": "127.0.0.1",
        "training_launcher": loaded, "audit_share": 1e-12, "hidden_share": 0, "overlap_share": 0, "repeat_share": 0,
    }  # fmt: skip
    yield House(tmp_path, **settings)
    bed.drop_database(DATABASE)


class Shown:
    """Everything that was printed or shown, to be searched for passwords at the end."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.said: list[str] = []

    def sortline(self, *arguments: str) -> str:
        done = subprocess.run(
            [SORTLINE, *arguments], cwd=self.house.folder, env=self.house.environment, capture_output=True, text=True,
            timeout=280, check=False,
        )  # fmt: skip
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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_loop_on_servers_with_tls_passwords_and_a_pooler(house: House) -> None:
    shown = Shown(house)
    with house:
        house.wait_up()

        # Import and train: the first model goes live.
        shown.sortline("import", "test.csv", "--split", "test")
        shown.sortline("import", "train.csv", "--split", "train")
        trained = json.loads(shown.sortline("train", "--json", "--learning-rate", "0.003", "--epochs", "20"))
        assert trained["status"] == "active"

        # Classify, and a webhook tells of it.
        hook = Receiver()
        shown.sortline("webhooks", "add", "crm", hook.url)
        token = shown.sortline("tokens", "add", "shop", "--scope", "documents", "--scope", "reviews").strip()
        web = httpx.Client(base_url=house.web_url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        sent = [{"id": f"{i}", "source": "mail", "text": f"is my transfer {i} an arrived one"} for i in range(40)]
        answer = web.post("/v1/documents", params={"wait": 30}, json={"documents": sent})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["results"]) == 40
        until(lambda: len({id_ for id_, _ in hook.told()}) == 40)

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
