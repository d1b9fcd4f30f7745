"""What is read without SQLAlchemy is what a session reads."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from audited_traffic import add_answers
from filled_queue import add_document, add_labels, add_many, unlike
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.connection import get_engine
from db.models import DriftLook, TrainingRun
from db.queries import counts, dead_letter_counts, drift_checks, live_accuracy, search_behind, status, waiting_counts
from db.reading import Reads, reading, statement
from db.session import session as opened_session
from monitoring.live_accuracy import check_accuracy
from sortline.errors import PostgresUnreachableError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings

NOW = datetime.now(UTC)
READ: list[Callable[[Reads], Any]] = [
    status.versions,
    status.newest_run,
    status.stored,
    status.ailing_webhooks,
    status.last_accuracy,
    lambda opened: status.unsent(opened)[0],
    lambda opened: status.decisions_since(opened, 10),
    lambda opened: status.classified(opened, NOW - timedelta(days=9), NOW + timedelta(days=1)),
    dead_letter_counts.count,
    dead_letter_counts.of_last_hour,
    lambda opened: dead_letter_counts.by_day(opened, 3),
    lambda opened: search_behind.behind(opened).documents,
    waiting_counts.by_reason,
    drift_checks.last,
    drift_checks.failing,
    drift_checks.open_incidents,
]


@pytest.fixture
def filled(session: Session) -> None:
    add_many(session, counts.MOST + 1)
    labels = [label.id for label in add_labels(session)]
    add_document(session, unlike(1))
    add_answers(session, 20, labels[0], probability=0.1, truth_id=labels[1], form="int8")
    live_accuracy.count_answers(session)
    check_accuracy(session, 0.02)
    session.add(TrainingRun(state="failed", parameters={"epochs": 2}, reason="tests", error="100 % of :it"))
    session.add(DriftLook(ended_at=NOW, said="nothing", failed=True))
    session.commit()


def test_both_read_the_same(filled: None, session: Session, settings: Settings) -> None:
    with reading(settings.postgres_url) as plain:
        for read in READ:
            assert _still(read(plain)) == _still(read(session))
        assert dead_letter_counts.count(plain).rows > counts.MOST  # an estimate, by a statement made at the moment


def test_names_of_parameters_are_told_from_casts_and_signs(session: Session, settings: Settings) -> None:
    asked = statement("SELECT CAST(:value AS text) || '%' || '%s' || ' a::b', :value = 7, '{1}'::int[]")

    with reading(settings.postgres_url) as plain:
        found = plain.execute(asked, {"value": 7}).one()

    assert tuple(found) == tuple(session.execute(asked, {"value": 7}).one()) == ("7%%s a::b", True, [1])


def test_nothing_is_kept_and_an_absent_row_is_none(session: Session, settings: Settings) -> None:
    with reading(settings.postgres_url) as plain:
        check_id = drift_checks.begin(plain)
        assert plain.scalar(statement("SELECT id FROM drift_looks WHERE id = :id"), {"id": check_id}) == check_id
    assert session.get(DriftLook, check_id) is None
    with reading(settings.postgres_url) as plain:
        assert plain.scalar(statement("SELECT id FROM drift_looks")) is None
        assert plain.execute(statement("SELECT id FROM drift_looks")).one_or_none() is None


def test_times_are_utc_whatever_time_zone_postgres_is_set_to(session: Session, settings: Settings) -> None:
    session.execute(text(f"ALTER DATABASE {settings.prefix} SET timezone TO 'Asia/Tokyo'"))
    session.commit()
    get_engine(settings.postgres_url).dispose()
    moment = statement("SELECT CAST('2026-01-01 00:30+00' AS timestamptz)")
    with reading(settings.postgres_url) as plain, opened_session(settings.postgres_url) as opened:
        for reads in (plain, opened):
            assert f"{reads.scalar(moment):%Y-%m-%d %H:%M}" == "2026-01-01 00:30"


def test_a_server_that_is_away_is_named(settings: Settings) -> None:
    away = PostgresAddress.read("postgresql://ann:secret@127.0.0.1:1/sortline")
    with pytest.raises(PostgresUnreachableError, match=r"127\.0\.0\.1") as raised, reading(away):
        pass
    assert "secret" not in str(raised.value)


def _still(found: Any) -> Any:
    """Without the seconds that pass between two reads."""
    if isinstance(found, status.Run):
        return found._replace(age_s=0.0)
    return found
