"""The page on the line: what strangers and people see of it, what is counted, and what it says of a server away."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import redis
from filled_queue import add_document, add_labels, add_many
from sqlalchemy.orm import Session

from db.models import Prediction
from monitoring.alarms import REDIS_AWAY
from sortline.settings import Settings
from web.line.glance import AwayError, Counts, Recent


def test_strangers_see_figures_and_no_hosts_or_links_to_what_is_not_theirs(
    web: httpx.Client, sign_in_as: Callable[..., httpx.Client], session: Session, settings: Settings,
    redis_client: redis.Redis,
) -> None:  # fmt: skip
    add_labels(session)
    add_document(session, "a text of a customer")
    said = {"pid": 4711, "host": "a-machine", "model_version": 1, "engine": "stub", "documents_per_s": 1.0,
            "refused": "<script>its checkpoint"}  # fmt: skip
    redis_client.set(f"{settings.prefix}:workers:one", orjson.dumps(said), ex=60)

    stranger, lead = httpx.get(web.base_url).text, sign_in_as("lead", "ann").get("/").text

    for page in (stranger, lead):
        assert "4711" in page and "&lt;script&gt;its checkpoint" in page
        assert "a text of a customer" not in page and settings.postgres_url.url not in page
    assert "a-machine" in lead and "a-machine" not in stranger
    assert 'href="/dead-letters"' in lead and 'href="/dead-letters"' not in stranger
    assert "Decisions a day" in lead and "Decisions a day" not in stranger


def test_intakes_of_a_worker_are_one_row(
    web: httpx.Client, settings: Settings, redis_client: redis.Redis, session: Session
) -> None:
    for intake in (1, 2, 3):
        said = {"worker": "a", "intake": intake, "pid": 4710 + intake, "host": "a-machine", "model_version": 1,
                "engine": "torch-bf16", "documents_per_s": 100.5, "refused": None}  # fmt: skip
        redis_client.set(f"{settings.prefix}:workers:{intake}", orjson.dumps(said), ex=60)

    page = httpx.get(web.base_url).text

    assert "4711" in page and "4712" not in page
    assert "<div><dt>worker</dt><dd>1</dd></div>" in page and "<div><dt>intakes</dt><dd>3</dd></div>" in page
    assert '<td class="number">3</td>' in page and '<td class="number">301.5</td>' in page


@pytest.mark.parametrize(
    ("away", "which"),
    [
        ({"redis_url": "redis://127.0.0.1:1/0"}, "Redis can&#39;t be reached"),
        ({"database_url": "postgresql://nobody@127.0.0.1:1/none"}, "Postgres can&#39;t be reached"),
    ],
)
def test_a_server_away_is_named_without_its_address(
    web_with: Callable[..., Any], away: dict[str, str], which: str
) -> None:
    with web_with(**away) as web:
        page = web.get("/")

    assert page.status_code == 503
    assert which in page.text
    assert "127.0.0.1" not in page.text


def test_stretches_that_are_over_are_counted_once(session: Session) -> None:
    add_labels(session)
    for i in range(3):
        add_document(session, f"text {i}", reason="doubtful" if i else None)
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    for prediction, age in zip(session.query(Prediction), (40, 45, 100), strict=True):
        prediction.created_at = now - timedelta(minutes=age)
    session.commit()
    counts = Counts(timedelta(hours=1), 3)

    first = counts.newest(session, now)
    session.query(Prediction).delete()
    session.commit()

    assert [(began.minute, each.documents, each.accepted) for began, each in first] == [(0, 0, 0), (0, 1, 0), (0, 2, 1)]
    assert counts.newest(session, now) == first


def test_a_value_is_made_once_and_so_is_its_error() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    def fail() -> int:
        made.append(1)
        raise AwayError(REDIS_AWAY, OSError("gone"))

    recent, failing = Recent(make, 60), Recent(fail, 60)
    assert (recent.get(), recent.get()) == (1, 1)
    for _ in range(2):
        with pytest.raises(AwayError):
            failing.get()
    assert len(made) == 2


def test_what_was_not_counted_is_said_to_be_about_so_many(
    web: httpx.Client, session: Session, sortline: Callable[..., Any]
) -> None:
    add_many(session, 10_500)

    page, told, said = web.get("/").text, json.loads(sortline("status", "--json").stdout), sortline("status").stdout

    assert told["estimated"] == ["dead", "queue.doubtful"]
    assert "about 10,500 <small>waiting" in page and "about 10,500 <small>kept" in page
    assert "about 10,500 doubtful" in said and "dead letters about 10,500" in said
