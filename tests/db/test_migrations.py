"""Models and migrations agree, and migrations go both ways."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

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


DOCUMENTS = text("""
INSERT INTO documents (source, external_id, content_hash, text, lane)
SELECT 's', i, sha256(CAST(i AS text)::bytea), 'card number ' || i, 'bulk' FROM generate_series(CAST(:first AS integer), :last) i
""")
WITH_WORD = text("SELECT count(*) FROM search_index WHERE words @@ to_tsquery('simple', 'card')")


def test_documents_stay_searchable_when_words_are_indexed_later(empty: PostgresAddress) -> None:
    migrate(empty, "0021")
    with get_engine(empty).begin() as connection:
        connection.execute(DOCUMENTS, {"first": 1, "last": 1_000})

    migrate(empty)

    with get_engine(empty).begin() as connection:
        assert connection.scalar(WITH_WORD) == 1_000
        assert connection.scalar(text("SELECT count(*) FROM search_pending")) == 0
        connection.execute(DOCUMENTS, {"first": 1_001, "last": 1_003})
        assert connection.scalar(text("SELECT documents FROM search_pending")) == 3
        sampled = text("SELECT count(*) FROM pg_stats WHERE tablename = 'search_index' AND attname = 'words'")
        connection.execute(text("ANALYZE search_index"))
        assert connection.scalar(sampled) == 0, "samples would outlive erased documents"

    migrate(empty, "-1")

    with get_engine(empty).begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        asked = "FROM documents WHERE document_words(text) @@ to_tsquery('simple', 'card')"
        assert connection.scalar(text(f"SELECT count(*) {asked}")) == 1_003
        plan = connection.scalars(text(f"EXPLAIN SELECT {asked}")).all()
        assert "ix_documents_words" in str(plan)


def test_documents_stored_during_the_migration_wait_to_be_indexed(empty: PostgresAddress) -> None:
    """A worker that goes on storing holds a transaction open while the words are copied."""
    migrate(empty, "0021")
    with get_engine(empty).connect() as worker, ThreadPoolExecutor(1) as pool:
        worker.execute(DOCUMENTS, {"first": 1, "last": 5})
        migration = pool.submit(migrate, empty)
        with pytest.raises(TimeoutError):
            migration.result(2)
        worker.commit()
        migration.result(60)
    with get_engine(empty).connect() as connection:
        assert connection.scalar(text("SELECT sum(documents) FROM search_pending")) == 5


def test_times_are_summarised_as_rows_come(empty: PostgresAddress) -> None:
    """Without it the last minute is found by reading all that came since the last vacuum."""
    migrate(empty)
    with get_engine(empty).connect() as connection:
        options = connection.execute(text("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"))
        found = {row.relname: row.reloptions for row in options}
    for index in ("ix_predictions_created_at", "ix_reviews_created_at"):
        assert found[index] == ["autosummarize=on"]
