"""Models and migrations agree, and migrations go both ways."""

from collections.abc import Iterator

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from db.connection import get_engine
from db.models import Table
from migrations.upgrade import migrate, newest_revision
from sortline.postgres_address import PostgresAddress


@pytest.fixture
def empty(servers) -> Iterator[PostgresAddress]:
    """A database without tables."""
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS empty")
        admin.execute("CREATE DATABASE empty")
    url = PostgresAddress.read(servers.on("empty"))
    yield url
    get_engine(url).dispose()


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, Table.metadata)


def test_models_and_migrations_agree(empty: PostgresAddress) -> None:
    migrate(empty)
    assert differences(get_engine(empty)) == []


def test_the_comparison_can_see_a_difference(empty: PostgresAddress) -> None:
    migrate(empty)
    with get_engine(empty).begin() as connection:
        connection.execute(text("ALTER TABLE labels DROP COLUMN description"))
        connection.execute(text("DROP INDEX ix_reviews_document_id"))
    assert len(differences(get_engine(empty))) == 2


def test_up_down_and_up_again(empty: PostgresAddress) -> None:
    assert migrate(empty) == (None, newest_revision())
    assert migrate(empty) == (newest_revision(), newest_revision())

    assert migrate(empty, "base") == (newest_revision(), None)

    assert inspect(get_engine(empty)).get_table_names() == ["alembic_version"]
    with get_engine(empty).connect() as connection:
        functions = text("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        assert connection.execute(functions).scalar_one() == 0
    assert migrate(empty) == (None, newest_revision())
    assert differences(get_engine(empty)) == []


def test_times_are_summarised_as_rows_come(empty: PostgresAddress) -> None:
    """Without it the last minute is found by reading all that came since the last vacuum."""
    migrate(empty)
    with get_engine(empty).connect() as connection:
        options = connection.execute(text("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"))
        found = {row.relname: row.reloptions for row in options}
    for index in ("ix_predictions_created_at", "ix_reviews_created_at"):
        assert found[index] == ["autosummarize=on"]
