"""Models and migrations agree, and migrations go both ways."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from db.connection import get_engine
from db.models import Table
from migrations.upgrade import migrate, newest_revision
from sortline.postgres_address import PostgresAddress

WAITING = text("""SELECT EXISTS (
  SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')""")


def waits(address: PostgresAddress) -> bool:
    """Whether somebody in the database waits for a lock that another has."""
    with get_engine(address).connect() as connection:
        return bool(connection.scalar(WAITING))


@pytest.fixture
def empty(servers) -> Iterator[PostgresAddress]:
    """A database without tables."""
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS empty")
        admin.execute("CREATE DATABASE empty")
    url = PostgresAddress.read(servers.on("empty"))
    yield url
    get_engine(url).dispose()


def is_compared(item: Any, name: str | None, kind: str, *_: object) -> bool:
    """Not partitions, and not the type of vectors, which depends on the server."""
    if kind == "table":
        return re.fullmatch(r"embeddings_\d+", str(name)) is None
    return not (kind == "column" and (item.table.name, name) == ("embeddings", "vector"))


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        opts = {"compare_type": True, "compare_server_default": True, "include_object": is_compared}
        context = MigrationContext.configure(connection, opts=opts)
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

    migrate(empty, "0022")

    with get_engine(empty).begin() as connection:
        assert connection.scalar(WITH_WORD) == 1_000
        assert connection.scalar(text("SELECT count(*) FROM search_pending")) == 0
        connection.execute(DOCUMENTS, {"first": 1_001, "last": 1_003})
        assert connection.scalar(text("SELECT documents FROM search_pending")) == 3
        sampled = text("SELECT count(*) FROM pg_stats WHERE tablename = 'search_index' AND attname = 'words'")
        connection.execute(text("ANALYZE search_index"))
        assert connection.scalar(sampled) == 0, "samples would outlive erased documents"

    while migrate(empty, "-1")[1] != "0021":
        pass

    with get_engine(empty).begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        asked = "FROM documents WHERE document_words(text) @@ to_tsquery('simple', 'card')"
        assert connection.scalar(text(f"SELECT count(*) {asked}")) == 1_003
        plan = connection.scalars(text(f"EXPLAIN SELECT {asked}")).all()
        assert "ix_documents_words" in str(plan)


def test_documents_stored_during_the_migration_wait_to_be_indexed(
    empty: PostgresAddress, eventually: Callable[..., None]
) -> None:
    """A worker that goes on storing holds a transaction open while the words are copied."""
    migrate(empty, "0021")
    with get_engine(empty).connect() as worker, ThreadPoolExecutor(1) as pool:
        worker.execute(DOCUMENTS, {"first": 1, "last": 5})
        migration = pool.submit(migrate, empty)
        eventually(lambda: waits(empty))
        worker.commit()
        migration.result(60)
    with get_engine(empty).connect() as connection:
        assert connection.scalar(text("SELECT sum(documents) FROM search_pending")) == 5


def test_rights_on_the_view_of_results_outlast_the_fit(empty: PostgresAddress) -> None:
    migrate(empty, "0032")
    with get_engine(empty).begin() as connection:
        connection.execute(text("GRANT SELECT ON results TO PUBLIC"))

    migrate(empty)

    with get_engine(empty).begin() as connection:
        granted = "SELECT count(*) FROM information_schema.table_privileges WHERE table_name = 'results' AND grantee = 'PUBLIC'"
        assert connection.scalar(text(granted)) == 1
        connection.execute(
            text("INSERT INTO queue_items (document_id, reason, score) SELECT id, 'low_fit', 0 FROM documents")
        )
        assert connection.execute(text("SELECT fit FROM results")).all() == []


EXPLAINED = "INSERT INTO explanations (document_id, model_version_id, {}label_id) VALUES (1, 1, {}5)"


def test_explanations_of_other_forms_do_not_become_the_whole_models(empty: PostgresAddress) -> None:
    migrate(empty, "0023")
    with get_engine(empty).begin() as connection:
        connection.execute(DOCUMENTS, {"first": 1, "last": 1})
        connection.execute(text(EXPLAINED.format("", "")))

    migrate(empty, "0024")

    with get_engine(empty).begin() as connection:
        assert connection.scalars(text("SELECT form FROM explanations")).all() == ["whole"]
        connection.execute(text(EXPLAINED.format("form, ", "'student', ")))

    migrate(empty, "-1")

    with get_engine(empty).begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM explanations")) == 1


# Two on the first day, whose form was not noted; then two of the whole model and two of its int8.
PREDICTIONS = text("""
INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities, decision, form,
                         created_at)
SELECT id, 1, 'live', 1, 0.5, '{}', 'accept', CASE WHEN id > 4 THEN 'int8' WHEN id > 2 THEN 'whole' END,
  CAST('2026-01-01' AS timestamp) AT TIME ZONE 'UTC' + make_interval(days => CAST(id > 2 AS integer))
FROM documents
""")


def test_answers_are_counted_by_form_from_the_day_on_which_forms_were_noted(empty: PostgresAddress) -> None:
    migrate(empty, "0023")
    with get_engine(empty).begin() as connection:
        connection.execute(DOCUMENTS, {"first": 1, "last": 6})
        connection.execute(PREDICTIONS)
        # Erased documents stay counted: five on the first day.
        connection.execute(text("INSERT INTO answer_counts VALUES ('2026-01-01', 1, 1, 'accept', 5, 2.5)"))
        connection.execute(text("INSERT INTO answer_counts VALUES ('2026-01-02', 1, 1, 'accept', 4, 2)"))

    migrate(empty, "0024")

    counted = text("SELECT form, documents, confidence FROM answer_counts ORDER BY day, form")
    with get_engine(empty).begin() as connection:
        assert connection.execute(counted).all() == [("", 5, 2.5), ("int8", 2, 1.0), ("whole", 2, 1.0)]

    migrate(empty, "-1")

    with get_engine(empty).begin() as connection:
        both = text("SELECT documents, confidence FROM answer_counts ORDER BY day")
        assert connection.execute(both).all() == [(5, 2.5), (4, 2.0)]


def test_times_are_summarised_as_rows_come(empty: PostgresAddress) -> None:
    """Without it the last minute is found by reading all that came since the last vacuum."""
    migrate(empty)
    with get_engine(empty).connect() as connection:
        options = connection.execute(text("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"))
        found = {row.relname: row.reloptions for row in options}
    for index in ("ix_predictions_created_at", "ix_reviews_created_at"):
        assert found[index] == ["autosummarize=on"]


VERSION = text("""
INSERT INTO model_versions (status, checkpoint_uri, sha256, base_model, label_ids, metrics, promoted_at)
VALUES (:status, 'x', '0', 'tiny', '{1}', CAST(:metrics AS jsonb), CASE WHEN :live THEN now() END)
""")


def test_versions_that_accepted_without_proof_are_marked(empty: PostgresAddress) -> None:
    unproved = '{"guarantee": {"proved": false, "unproved": {"used": true}}}'
    proved, nothing = '{"guarantee": {"proved": true}}', '{"guarantee": {"proved": false, "unproved": {"used": false}}}'
    rows = [("retired", unproved, True), ("candidate", unproved, False), ("retired", proved, True),
            ("retired", nothing, True), ("active", unproved, True), ("retired", "{}", True)]  # fmt: skip
    migrate(empty, "0026")
    with get_engine(empty).begin() as connection:
        for status, metrics, live in rows:
            connection.execute(VERSION, {"status": status, "metrics": metrics, "live": live})

    migrate(empty)

    with get_engine(empty).begin() as connection:
        marked = text("SELECT may_lack_proof FROM model_versions ORDER BY id")
        assert connection.scalars(marked).all() == [True, False, False, False, True, False]
