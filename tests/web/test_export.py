"""What is found as a file: read back by each format's own reader, taken by leads alone, noted in the audit."""

import csv
import io
import json
from pathlib import Path

import pytest
from filled_queue import add_document, add_labels
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import AuditEvent, Review
from db.queries import people
from web.export_formats import COLUMNS, FORMATS, argilla_user

HOSTILE = '=HYPERLINK("http://a.example","x")\n"quoted", \u202e 🎉'


@pytest.fixture
def documents(session: Session) -> list[int]:
    labels = add_labels(session, ["card", "+cash"])
    ids = [add_document(session, HOSTILE, source="mail", name="=1+1", probabilities=(0.7, 0.3)),
           add_document(session, "plain", source="other", probabilities=(0.2, 0.8))]  # fmt: skip
    ann = people.add(session, "ann", "reviewer", "tests").id
    session.add(Review(document_id=ids[0], reviewer_id=ann, action="correct", label_id=labels[1].id, reason="doubtful"))
    session.commit()
    return ids


def taken(lead, kind: str, query: str = "") -> bytes:
    answer = lead.send_form("/documents/export", query=query, format=kind)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].endswith(f'{FORMATS[kind].ending}"')
    return answer.content


def test_csv_holds_no_formula_and_says_what_was_decided(sign_in_as, documents: list[int]) -> None:
    raw = taken(sign_in_as("lead"), "csv").decode("utf-8-sig")

    plain, hostile = csv.DictReader(io.StringIO(raw, newline=""))
    assert list(plain) == list(COLUMNS)
    assert (hostile["id"], hostile["text"], hostile["label"]) == ("'=1+1", "'" + HOSTILE, "'+cash")
    assert (hostile["reviewer"], hostile["predicted"], float(hostile["confidence"])) == (
        "ann",
        "card",
        pytest.approx(0.7),
    )
    assert (plain["label"], plain["predicted"]) == ("", "'+cash")


def test_jsonl_parquet_and_filters(sign_in_as, documents: list[int]) -> None:
    import pyarrow.parquet

    lead = sign_in_as("lead")
    (row,) = [json.loads(line) for line in taken(lead, "jsonl", "source=mail").splitlines()]
    table = pyarrow.parquet.read_table(io.BytesIO(taken(lead, "parquet"))).to_pylist()

    assert (row["id"], row["text"], row["label"], row["model_version"]) == ("=1+1", HOSTILE, "+cash", 1)
    assert [each["text"] for each in table] == ["plain", HOSTILE]
    assert table[1]["label"] == "+cash"
    assert taken(lead, "jsonl", "source=nobody") == b""


def test_label_studio_and_argilla(sign_in_as, documents: list[int]) -> None:
    lead = sign_in_as("lead")
    _, task = json.loads(taken(lead, "label-studio"))
    _, record = json.loads(taken(lead, "argilla"))

    assert task["data"]["text"] == record["fields"]["text"] == HOSTILE
    assert task["annotations"] == [
        {"result": [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["+cash"]}}]}
    ]
    assert task["predictions"][0]["result"][0]["value"] == {"choices": ["card"]}
    answer = {"value": "+cash", "user_id": argilla_user("ann"), "status": "submitted"}
    assert record["responses"] == {"label": [answer]}
    assert record["suggestions"]["label"]["value"] == "card"
    assert json.loads(taken(lead, "argilla", "source=nobody")) == []


def test_leads_alone_take_texts_and_the_audit_keeps_it(sign_in_as, session: Session, documents: list[int]) -> None:
    assert sign_in_as("reviewer").send_form("/documents/export", query="", format="csv").status_code == 403
    lead = sign_in_as("lead")
    assert lead.send_form("/documents/export", query="", format="xml").status_code == 422
    assert lead.send_form("/documents/export", query="predicted=none", format="csv").status_code == 422
    taken(lead, "jsonl", "source=mail")

    rows = session.query(AuditEvent).filter(AuditEvent.subject == "documents").order_by(AuditEvent.id).all()
    told = {"format": "jsonl", "filters": {"source": "mail"}}
    assert [(row.actor, row.action, row.detail) for row in rows] == [
        ("user:lead", "export began", told), ("user:lead", "exported", told | {"documents": 1}),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_the_command_writes_what_import_reads(
    sortline, session: Session, documents: list[int], tmp_path: Path, name: str
) -> None:
    said = json.loads(sortline("export", name, "--state", "reviewed", "--json").stdout)
    assert (said["documents"], said["file"]) == (1, name)
    session.execute(text("TRUNCATE documents, reviews, predictions, queue_items CASCADE"))
    session.commit()

    imported = json.loads(sortline("import", name, "--json").stdout)

    assert imported["reviews"] == 1
    label = session.scalar(text("SELECT labels.name FROM reviews JOIN labels ON labels.id = label_id"))
    assert label in ("+cash", "'+cash")  # a CSV keeps the apostrophe that a spreadsheet needs


def test_wrong_use(sortline, tmp_path: Path) -> None:
    assert sortline("export", "out.txt").returncode == 2
    assert sortline("export", "out.csv", "--predicted", "none").returncode == 1
    assert not (tmp_path / "out.csv").exists()
    assert sortline("export", "-", "--format", "jsonl").stdout == ""
