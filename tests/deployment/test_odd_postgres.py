"""Databases and roles as other people set them up: it works, or one sentence says what is wrong."""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from db.connection import get_engine
from db.queries import labels, server
from db.reading import connect_arguments, reading, statement
from db.session import session
from housekeeping.backup import backup
from housekeeping.restore import restore
from migrations.upgrade import migrate
from sortline.cli.examine import check_postgres
from sortline.errors import ConfigurationError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from tests import loaded
from tests.conftest import Servers, environment
from web.app import create_app
from worker.active_model import Models

Make = Callable[..., Settings]
ODD = {
    "DateStyle": "SQL, DMY", "IntervalStyle": "iso_8601", "TimeZone": "Asia/Kolkata", "client_encoding": "LATIN1",
    "synchronous_commit": "off", "bytea_output": "escape", "default_transaction_isolation": "serializable",
}  # fmt: skip


@pytest.fixture
def make(servers: Servers, tmp_path: Path) -> Iterator[Make]:
    """Makes a database, and a role that owns nothing but what the test gives it; returns settings for that role."""
    made: list[Settings] = []
    with psycopg.connect(servers.database_url, autocommit=True) as admin:

        def database(*commands: str, options: str = "", **variables: str) -> Settings:
            name = f"odd-{uuid.uuid4().hex[:8]}" + ("" if options else " Ü")
            admin.execute(f'CREATE ROLE "{name}" LOGIN')
            admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 {options}')
            for variable, value in variables.items():
                admin.execute(psycopg.sql.SQL(f'ALTER ROLE "{name}" SET {variable} TO {{}}').format(value))
            with psycopg.connect(servers.on(quote(name)), autocommit=True, client_encoding="utf8") as inside:
                for command in commands:
                    inside.execute(command.format(role=f'"{name}"', database=f'"{name}"'))
            address = servers.on(quote(name)).replace("//postgres@", f"//{quote(name)}@")
            prefix = name.partition(" ")[0]
            settings = Settings(
                _env_file=None, database_url=address, redis_url=servers.redis_url, prefix=prefix, data_dir=tmp_path / prefix,
                require_durable_redis=False,
            )  # fmt: skip
            made.append(settings)
            return settings

        yield database
        for settings in made:
            get_engine(settings.postgres_url).dispose()
            name = settings.postgres_url.parameters["dbname"]
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            admin.execute(f'DROP ROLE "{name}"')


def run(settings: Settings, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return loaded.run(["sortline", *arguments], folder, environment(settings))


OWNER = "ALTER DATABASE {database} OWNER TO {role}"


@pytest.mark.parametrize(
    ("commands", "options", "variables", "said"),
    [
        ((), "", {}, "permission denied for schema public"),
        ((OWNER,), "", {"search_path": ""}, "no schema has been selected"),
        ((OWNER,), "", {"default_transaction_read_only": "on"}, "read-only transaction"),
        ((OWNER, "CREATE TABLE documents (x int)"), "", {}, '"documents" already exists'),
        ((OWNER, "CREATE TABLE alembic_version (version_num text)", "INSERT INTO alembic_version VALUES ('f00')",
          "GRANT ALL ON alembic_version TO {role}"), "", {}, "another program"),
        ((OWNER,), "ENCODING 'SQL_ASCII'", {}, "encoding SQL_ASCII"),
        ((OWNER,), "ENCODING 'LATIN1'", {}, "encoding LATIN1"),
    ],
)  # fmt: skip
def test_a_database_that_can_not_hold_the_tables_is_refused_in_a_sentence(
    make: Make, tmp_path: Path, commands: tuple[str, ...], options: str, variables: dict[str, str], said: str
) -> None:
    settings = make(*commands, options=options, **variables)
    with pytest.raises(ConfigurationError, match=said):
        migrate(settings.postgres_url)
    done = run(settings, tmp_path, "migrate")
    assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1


def test_what_a_role_sets_for_its_sessions_changes_nothing(make: Make, tmp_path: Path) -> None:
    """psycopg can't read other forms of dates and intervals, and LATIN1 has no Greek."""
    settings = make(OWNER, **ODD)
    migrate(settings.postgres_url)
    moment = datetime(2026, 2, 1, 20, 30, tzinfo=UTC)
    for _ in range(2):  # the second time on a connection of the pool
        with session(settings.postgres_url) as opened:
            found = opened.execute(
                text("SELECT CAST(:at AS timestamptz), make_interval(hours => 26), :said, '\\x00ff'::bytea"),
                {"at": moment, "said": "Ελλάδα €"},
            ).one()
            assert found[0] == moment and found[1].total_seconds() == 26 * 3600
            assert found[2:] == ("Ελλάδα €", b"\x00\xff")
            assert server.setting(opened, "transaction_isolation") == "read committed"
            assert server.setting(opened, "synchronous_commit") == "on"
    with reading(settings.postgres_url) as plain:
        (when,) = plain.execute(statement("SELECT clock_timestamp()")).one()
        assert when.tzinfo is not None
    for arguments in (("labels", "add", "Ελλάδα €"), ("users", "add", "ann"), ("status", "--json"), ("labels", "list")):
        done = run(settings, tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    assert "Ελλάδα €" in done.stdout


def test_a_schema_of_its_own_beside_others_is_backed_up_and_restored(make: Make, tmp_path: Path) -> None:
    """Rented databases often have one schema for each program, and `public` for nobody."""
    settings = make(
        'CREATE SCHEMA AUTHORIZATION {role}', "GRANT CREATE ON DATABASE {database} TO {role}",
        "CREATE TABLE public.theirs (x int)", "CREATE SCHEMA theirs", "CREATE TABLE theirs.secrets (x int)",
    )  # fmt: skip
    migrate(settings.postgres_url)
    with session(settings.postgres_url) as opened:
        labels.add(opened, "cash", "tests")
        opened.commit()
    backup(settings, tmp_path / "backup")
    with session(settings.postgres_url) as opened:
        labels.add(opened, "later", "tests")
        opened.commit()
    assert "the database (" in run(settings, tmp_path, "restore", "backup").stderr
    get_engine(settings.postgres_url).dispose()
    restore(settings, tmp_path / "backup", "tests", force=True)
    with session(settings.postgres_url) as opened:
        assert [label.name for label in labels.listing(opened)] == ["cash"]
        found = opened.scalars(text("SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace n "
                                    "ON n.oid = relnamespace WHERE relname IN ('theirs', 'secrets')"))  # fmt: skip
        assert set(found) == {"public.theirs", "theirs.secrets"}


def test_tables_that_are_missing_are_a_sentence_that_says_what_to_do(make: Make, tmp_path: Path) -> None:
    settings = make(OWNER)
    for arguments in (("status",), ("train",), ("users", "add", "ann"), ("labels", "list")):
        done = run(settings, tmp_path, *arguments)
        assert done.returncode == 1 and "run `sortline migrate`" in done.stderr and done.stderr.count("\n") == 1
    with TestClient(create_app(settings)) as web:
        assert web.get("/health/live").status_code == 200
        for path in ("/health/ready", "/", "/v1/labels"):
            answer = web.get(path, headers={"Authorization": "Bearer sl_x"})
            assert answer.status_code == 503 and "sortline migrate" in answer.text


def test_a_server_that_has_begun_to_read_alone_is_away_for_now(make: Make, tmp_path: Path) -> None:
    """As a standby is, or a primary on which somebody has stopped writes."""
    settings = make(OWNER)
    migrate(settings.postgres_url)
    name = settings.postgres_url.parameters["dbname"]
    with session(settings.postgres_url) as opened:
        opened.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
        opened.commit()
    get_engine(settings.postgres_url).dispose()
    found = {finding.name: finding for finding in check_postgres(settings)}
    assert found["Postgres writes"].level == "fail" and "primary" in found["Postgres writes"].advice
    done = run(settings, tmp_path, "labels", "add", "cash")
    assert done.returncode == 1 and "read-only transaction" in done.stderr and done.stderr.count("\n") == 1
    with TestClient(create_app(settings), "http://127.0.0.1", raise_server_exceptions=False) as web:
        answer = web.post(
            "/sign-in", data={"name": "ann", "password": "x" * 12}, headers={"Origin": "http://127.0.0.1"}
        )
        assert answer.status_code == 503


def test_a_worker_says_why_it_does_not_begin(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    settings = make(OWNER)
    models = Models(settings)
    for _ in range(2):
        models.check_promotion()
    assert not models.wait(0)
    (said,) = [record for record in caplog.records if record.name == "worker.active_model"]
    assert "run `sortline migrate`" in said.getMessage()
    migrate(settings.postgres_url)
    models.check_promotion()
    assert models.wait(0)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [("one,two", "read-write"), ("one", None), ("one,two/db?target_session_attrs=any", "any")],
)  # fmt: skip
def test_of_several_hosts_the_one_that_accepts_writes_is_used(url: str, wanted: str | None) -> None:
    found = connect_arguments(PostgresAddress.read(f"postgresql://{url}"))
    assert found.get("target_session_attrs") == wanted


def test_housekeeping_says_in_a_line_what_can_not_be_done(make: Make, tmp_path: Path) -> None:
    """Each task that met a missing table, or a server that was away, logged a trace of 60 lines."""
    code = """
from housekeeping import tasks
from housekeeping.celery import app
done = app.tasks["housekeeping.request_forms"].apply()
print(done.state, type(done.result).__name__)
"""
    done = loaded.run(["-c", code], tmp_path, environment(make(OWNER)))
    assert done.stdout == "FAILURE ProgrammingError\n", done.stderr
    assert "request_forms can't be done now" in done.stderr and "run `sortline migrate`" in done.stderr
    assert "Traceback" not in done.stderr
