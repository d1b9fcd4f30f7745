"""The page on results: its SQL, its consumer and its receiver run as they stand, and its views are as it says."""

import hashlib
import re
import subprocess
import sys

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import DeadLetter, Document, Label, Prediction, Review, User
from db.queries.document_state import document_state
from housekeeping.webhook_request import message
from sortline.settings import Settings
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    return re.findall(rf"<!-- a test runs this -->\n```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def filled(session: Session) -> Session:
    """msg-1 classified and corrected after an edit, msg-2 classified, msg-3 of which none fits, msg-4 dead."""
    session.add_all([Label(id=1, name="card"), Label(id=2, name="cash"), User(id=50, name="ann", role="reviewer")])
    ids = {}
    for id, body, entry_id in (
        ("msg-1", "old", "1-0"),
        ("msg-1", "new", "2-0"),
        ("msg-2", "x", "3-0"),
        ("msg-3", "y", "4-0"),
    ):
        row = Document(
            source="mail",
            external_id=id,
            content_hash=hashlib.sha256(body.encode()).digest(),
            text=body,
            lane="live",
            entry_id=entry_id,
        )
        session.add(row)
        session.flush()
        ids[id, body] = row.id
        session.add(
            Prediction(
                document_id=row.id,
                model_version_id=7,
                kind="live",
                label_id=1,
                confidence=0.75,
                probabilities=[0.75, 0.25],
                decision="accept",
                fit=0.25,
            )
        )
        session.add(
            Prediction(
                document_id=row.id,
                model_version_id=8,
                kind="shadow",
                label_id=2,
                confidence=0.9,
                probabilities=[0.1, 0.9],
                decision="accept",
            )
        )
    first = Review(document_id=ids["msg-1", "new"], reviewer_id=50, action="confirm", label_id=1, reason="doubtful")
    session.add_all(
        [first, Review(document_id=ids["msg-3", "y"], reviewer_id=50, action="none_fits", reason="doubtful")]
    )
    session.flush()
    session.add(
        Review(
            document_id=ids["msg-1", "new"],
            reviewer_id=50,
            action="correct",
            label_id=2,
            reason="doubtful",
            supersedes_id=first.id,
        )
    )
    session.add(
        DeadLetter(
            lane="live",
            entry_id="5-0",
            source="mail",
            external_id="msg-4",
            reason="empty_text",
            detail="",
            raw=b"[]",
            attempts=1,
        )
    )
    session.commit()
    return session


def test_the_sql_examples(filled: Session) -> None:
    one, week, decided, dead = (filled.execute(text(example)).all() for example in examples("sql"))

    assert one == [("cash", "reviewed", 0.75, "accept", 7)]
    assert {tuple(row) for row in week} == {("cash", 1, 1), ("card", 1, 0), (None, 1, 0)}
    assert {tuple(row) for row in decided} == {
        ("mail", "msg-1", "cash", "ann", "new"),
        ("mail", "msg-3", None, "ann", "y"),
    }
    assert dead == [("empty_text", 1)]


def test_the_view_says_what_the_web_says(filled: Session) -> None:
    rows = filled.execute(
        text("SELECT id, state, predicted_label, confidence, decision, fit, model_version, review FROM results")
    ).all()
    assert len(rows) == 3
    for row in rows:
        state = document_state(filled, "mail", row.id)
        assert state is not None
        review = None if state.review is None else state.review["action"]
        said = (state.label, state.confidence, state.decision, state.fit, state.model_version)
        assert state.fit == 0.25 and row[1:] == (state.state, *said, review)


def test_a_document_is_found_by_index(filled: Session) -> None:
    filled.execute(text("SET enable_seqscan = off"))
    plan = "\n".join(filled.scalars(text("EXPLAIN " + examples("sql")[0])))
    assert "uq_documents_source_external_id_content_hash" in plan
    assert "Seq Scan on documents" not in plan


def test_the_columns_are_those_that_the_page_names(session: Session) -> None:
    described = re.findall(r"^\| `(\w+)` \|.*?: `(\w+, [\w, ]+)`", PAGE, re.MULTILINE)
    assert [view for view, _ in described] == ["results", "standing_decisions", "dead_documents"]
    for view, listed in described:
        columns = session.scalars(
            text(
                "SELECT column_name FROM information_schema.columns WHERE table_name = :view ORDER BY ordinal_position"
            ),
            {"view": view},
        ).all()
        assert set(columns) == set(listed.split(", ")), view


def test_the_consumer_reads_what_it_left_and_what_is_new(settings: Settings, redis_client: redis.Redis) -> None:
    consumer, receiver = sorted(examples("python"), key=lambda each: "def receive" in each)
    assert "def receive" in receiver
    code = consumer.replace("sortline:results", settings.results_stream).replace(
        "redis://127.0.0.1:6379", settings.redis.url
    )
    code = code.replace("block=5000", "block=100")
    for id in ("a", "b"):
        redis_client.xadd(
            settings.results_stream,
            {"event": "classified", "source": "mail", "id": id, "label": "card", "decision": "accept"},
        )
    redis_client.xgroup_create(settings.results_stream, "crm", id="0")
    redis_client.xreadgroup("crm", "reader-1", {settings.results_stream: ">"}, count=1)  # a run that was killed then

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.splitlines() == ["mail a card accept", "mail b card accept"]
    assert redis_client.xpending(settings.results_stream, "crm")["pending"] == 0


def test_the_receiver_takes_what_is_signed(settings: Settings) -> None:
    from datetime import UTC, datetime

    from standardwebhooks import Webhook

    names: dict[str, object] = {}
    exec(next(each for each in examples("python") if "def receive" in each), names)
    event = {"event": "dead", "source": "mail", "id": "a", "label": "", "confidence": "", "decision": "empty_text",
             "model_version": "", "at": "2026-01-02T03:04:05.000+00:00"}  # fmt: skip
    secret, now, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.now(UTC), message(event)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = Webhook(secret).sign("msg_1", now, body.decode())

    assert names["receive"](body, headers, secret)["decision"] == "empty_text"  # type: ignore[operator]
    with pytest.raises(Exception, match="No matching signature"):
        names["receive"](body + b" ", headers, secret)  # type: ignore[operator]
