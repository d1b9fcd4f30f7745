"""A label that nobody knew, on the processes of `sortline up`.

Documents come that no label fits, people say so at the desk, housekeeping finds that they are alike, a lead makes them
a label, a training takes it in, and the line answers with it; then the lead takes the decision back.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from house import House, until
from labelled_lines import labelled_lines

from db.models import Snapshot, TrainingRun
from db.queries import labelled, people, tuned_parameters
from db.session import session
from sortline.settings import Settings
from tests.web.conftest import Browser
from trainer.data.snapshot import read_snapshot

FOREIGN = "transfer"
DECIDED, LEFT = 24, 10  # of the foreign documents: by people at the desk, and by the lead with the topic
# What a study would have found: a random encoder of two layers learns little at the defaults of a pretrained one.
TUNED = {"learning_rate": 3e-3, "epochs": 20}


def lines_of(count: int, foreign: bool) -> list[str]:
    first, *lines = labelled_lines(count)
    return [first, *(line for line in lines if line.endswith(f",{FOREIGN}") == foreign)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Sortline with a model of two labels that accepts nothing by itself."""
    for name, count in (("train", 180), ("test", 90)):
        (tmp_path / f"{name}.csv").write_text("\n".join(lines_of(count, foreign=False)) + "\n", encoding="utf-8")
    settings = {
        "accept_threshold": 0.999, "retrain_after": 0, "quantise": False, "students": False,
        "audit_share": 1e-12, "first_documents": 0, "hidden_share": 0, "overlap_share": 0, "repeat_share": 0,
    }  # fmt: skip
    with House(tmp_path, **settings) as up:
        up.wait_up()
        for name in ("test", "train"):
            up.sortline("import", f"{name}.csv", "--split", name)
        with session(up.settings.postgres_url) as opened:
            tuned_parameters.store(
                opened, study="acceptance", parameters=TUNED, macro_f1=0.9, untuned_macro_f1=0.3, trials=1,
                report_uri="-",
            )  # fmt: skip
            opened.commit()
        yield up


def sign_in(house: House, name: str, role: str) -> Browser:
    with session(house.settings.postgres_url) as opened:
        token = people.sign_in(opened, people.add(opened, name, role, "tests"), "tests")
        opened.commit()
    return Browser(httpx.URL(house.web_url), token)


def send(web: httpx.Client, prefix: str, lines: list[str]) -> dict[str, str]:
    """Send documents; returns their labels by id."""
    body = [
        {"id": f"{prefix}-{i}", "text": line.rsplit(",", 1)[0].strip('"'), "source": "mail"}
        for i, line in enumerate(lines[1:])
    ]
    answer = web.post("/v1/documents", params={"wait": 30}, json={"documents": body})
    assert answer.status_code == 200, answer.text
    return {result["id"]: result["label"] for result in answer.json()["results"]}


def decide_none_fits(reviewer: Browser, count: int) -> None:
    """What a person's desk sends, until so many foreign documents are decided; the others are left to wait."""
    done, headers, seen = 0, {"x-csrf-token": reviewer.csrf}, []
    while done < count:
        shown = reviewer.post("/desk/next", json={"have": seen}, headers=headers).json()["html"]
        articles = re.findall(r'<article[^>]*data-id="(\d+)"[^>]*data-token="(\d+)".*?</article>', shown, re.DOTALL)
        assert articles
        for id_, token in articles:
            text = re.search(rf'data-id="{id_}".*?</article>', shown, re.DOTALL)
            assert text is not None
            body = {"document_id": int(id_), "token": int(token), "seconds": 1}
            if "arrived transfer" in text[0] and done < count:
                done += 1
                body |= {"action": "none_fits", "proposed_label": "bank transfer"}
            else:
                body |= {"action": "skip", "note": "for somebody else"}
            answer = reviewer.post("/desk/decisions", json=body, headers=headers)
            assert answer.status_code == 200, answer.text


def the_topic(lead: Browser) -> str:
    """The path of the largest topic of what may be a new label, once housekeeping has grouped it."""
    lead.send_form("/topics/again", kind="new_label")
    until(lambda: "Grouped" in lead.get("/topics?kind=new_label").text, 60)
    found = re.search(r'href="(/topics/\d+)"', lead.get("/topics?kind=new_label").text)
    assert found is not None
    return found[1]


def label_page(reader: Browser, name: str) -> str:
    """The path of a label's page."""
    found = re.search(rf'href="(/labels/\d+)"><bdi>{name}</bdi>', reader.get("/labels").text)
    assert found is not None
    return found[1]


def train(house: House) -> int:
    """Train now; returns the version, which is live in the worker then: a person promotes what waits for one."""
    done = json.loads(house.sortline("train", "--json"))
    version = int(done["model_version"])
    if done["status"] == "candidate":
        house.sortline("models", "promote", str(version))
    until(lambda: house.status()["workers"][0]["model_version"] == version)
    return version


def decided(settings: Settings) -> dict[str, list[int]]:
    """Ids of decided documents by label; those that no label fits under an empty name."""
    with session(settings.postgres_url) as opened:
        found: dict[str, list[int]] = {}
        for row in labelled.labelled_documents(opened):
            found.setdefault(row.label, []).append(row.id)
        return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_documents_that_no_label_fits_become_a_label_that_the_line_answers_with(house: House) -> None:
    assert train(house) == 1
    token = house.sortline("tokens", "add", "shop").strip()
    web = httpx.Client(base_url=house.web_url, headers={"Authorization": f"Bearer {token}"}, timeout=60, verify=False)
    foreign = lines_of(3 * (DECIDED + LEFT), foreign=True)
    before = send(web, "foreign", foreign) | send(web, "known", lines_of(31, foreign=False))
    assert FOREIGN not in set(before.values())

    # People say at the desk that no label fits; housekeeping finds what is alike.
    decide_none_fits(sign_in(house, "rita", "reviewer"), DECIDED)
    assert len(decided(house.settings)[""]) == DECIDED
    lead = sign_in(house, "lea", "lead")
    topic = the_topic(lead)
    page = lead.get(topic).text
    assert 'name="name" value="bank transfer"' in page
    ticks = {f"tick-{id_}": "on" for id_ in re.findall(r'name="tick-(\d+)"', page)}
    left = dict([ticks.popitem(), ticks.popitem()])

    # The lead makes it a label, for the decided and for what waits.
    preview = lead.send_form(f"{topic}/label", name="bank transfer", **ticks)
    assert "were decided as none fits, and will be corrected" in preview.text
    done = lead.send_form(f"{preview.url.path}/decide")
    given = decided(house.settings)["bank transfer"]
    assert f"<bdi>bank transfer</bdi> has {len(given)} documents" in done.text

    # The label's page leads to what else may belong to it, where the lead finds what was left out.
    [belonging] = set(re.findall(r'href="(/labels/\d+/belonging)"', lead.get(label_page(lead, "bank transfer")).text))
    page = lead.get(belonging).text
    assert f"the {len(given)} documents of this label" in page
    assert all(f'name="{tick}"' in page for tick in left)
    rest = lead.send_form(belonging, **left)
    lead.send_form(f"{rest.url.path}/decide")
    given = decided(house.settings)["bank transfer"]
    assert len(given) > DECIDED, "what waits with them is decided too"

    # The training takes them in as documents of that label, and the line answers with it.
    second = train(house)
    with session(house.settings.postgres_url) as opened:
        run = opened.query(TrainingRun).filter_by(model_version_id=second).one()
        snapshot = opened.get_one(Snapshot, run.snapshot_id)
        learnt = [each.id for each in read_snapshot(opened, snapshot).train if each.label == "bank transfer"]
    assert sorted(learnt) == sorted(given)
    after = send(web, "later", labelled_lines(46))
    right = [after[f"later-{i}"] == "bank transfer" for i in range(45) if i % 3 == 2]
    assert sum(right) >= 0.9 * len(right)

    # The lead takes the decisions back: no label fits again, and what waited waits.
    for made in (rest, preview):
        lead.send_form(f"{made.url.path}/undo")
    undone = decided(house.settings)
    assert "bank transfer" not in undone
    assert len(undone[""]) == DECIDED
