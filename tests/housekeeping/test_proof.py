"""The proof of erasure: a text that went everywhere is in no byte of any file afterwards."""

import json
import secrets
from pathlib import Path

import pytest
from sqlalchemy import text

from db.queries import decisions, queue_items
from db.queries.decisions import Decision, Shares
from db.queries.erasure import find
from db.queries.people import add
from housekeeping.prove import find_bytes
from sortline.queue import Document
from tests.housekeeping.conftest import House
from trainer.report.texts import TEXTS, pack_texts, unpack_texts


def spread(house: House, marker: str, report: Path) -> None:
    """Let the marker get to every place where a text can be."""
    neighbours = [Document(f"before-{i}", f"before {i}") for i in range(3)]
    house.send(*neighbours, Document("me", f"it is {marker}", meta={"mine": marker}), Document("after", "after"))
    house.client.xadd(house.settings.stream("live"), {"id": "me", "text": marker, "meta": "[1]"})  # a dead letter
    house.work_off()
    with house.session() as opened:
        document_id = find(opened, [("default", "me")])[0]
        user = add(opened, "ann", "reviewer", "test")
        queue_items.flag(opened, document_id, f"flagged: {marker}")
        assert queue_items.lease(opened, [document_id], user.id, 300, 0.0) == document_id
        token = queue_items.leased(opened, user.id, [document_id])[0].lease_token
        decisions.decide(
            opened, Decision(document_id, token, "label", 2, note=f"noted: {marker}"), user.id, Shares(overlap=0.0)
        )
        other = find(opened, [("default", "after")])[0]
        queue_items.flag(opened, document_id, f"again: {marker}")
        opened.commit()
        opened.execute(text("ANALYZE"))
        opened.commit()
    report.mkdir(parents=True)
    (report / TEXTS).write_text(pack_texts({str(document_id): marker, str(other): "after"}))
    # It was sent once more, and waits between others.
    house.send(Document("waits-1", "x"), Document("me", f"once more {marker}"), Document("waits-2", "y"))


@pytest.mark.redis_server
@pytest.mark.timeout(120)
def test_an_erased_text_is_in_no_byte_of_any_file(house: House) -> None:
    marker, report = secrets.token_hex(24), house.settings.data_dir / "models" / "run-1-1.report"
    house.add_model()
    spread(house, marker, report)
    stores = {name for path in find_bytes(marker.encode(), house.settings.data_dir, house.settings.models) for name in ("postgres", "redis", "models")
              if f"/{name}/" in str(path)}  # fmt: skip
    assert stores == {"postgres", "redis", "models"}  # the search finds it where it is

    asked = ("erase", "--source", "default", "--id", "me", "--json")
    looked = house.sortline(*asked, "--prove", marker)
    assert looked.returncode == 1
    would = json.loads(looked.stdout)["would_erase"]
    assert (would["documents"], would["reviews"], would["dead_letters"], would["waiting"]) == (1, 1, 1, 1)
    assert house.count("SELECT count(*) FROM documents WHERE external_id = 'me'") == 1

    done = house.sortline(*asked, "--yes", "--prove", marker)

    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout)
    assert told["found_in"] == [] and told["remarks"] == [] and told["held"] == 0
    assert told["erased"] == would
    assert not [path for path in house.folder.rglob("*.log") if marker.encode() in path.read_bytes()]

    # The others are all there, and the line goes on; what is sent from now on is a new document.
    assert list(unpack_texts((report / TEXTS).read_bytes()).values()) == ["after"]
    house.send(Document("me", "a new one"))
    house.work_off()
    with house.session() as opened:
        rows = opened.execute(text("SELECT external_id, text FROM documents ORDER BY external_id")).tuples().all()
        counted = opened.execute(text("SELECT documents, predictions, reviews, label_id FROM erased_counts")).one()
        audit = opened.execute(text("SELECT detail FROM audit_events WHERE action = 'erase'")).scalar_one()
    expected = {"me": "a new one", "after": "after", "waits-1": "x", "waits-2": "y"}
    assert dict(rows) == {**expected, **{f"before-{i}": f"before {i}" for i in range(3)}}
    assert tuple(counted) == (1, 1, 1, 2)
    assert audit["how"] == "source and id" and "me" not in json.dumps(audit).split('"')
    assert [name for name, _ in house.events() if name == "me"] == ["me"]
