"""A transaction whose client the network forgot ends: its locks hold up nobody for hours."""

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from benchmarks.proxy import Proxy
from db.connection import get_engine
from db.session import session
from sortline.child import Child
from sortline.local import embedded_postgres
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from tests.conftest import find_free_port, until

pytestmark = pytest.mark.slow


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where a Postgres of the test's own listens over TCP."""
    port = find_free_port()
    settings = Settings(_env_file=None, data_dir=tmp_path / "data")
    server = embedded_postgres(data_dir=settings.data_dir, runtime_dir=settings.runtime_dir)
    over_tcp = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", "fsync=off"]
    child = Child("postgres", [*server.command, *over_tcp], lambda *_: None, user=server.user)
    child.start()
    until(partial(_answers, port), 60)
    yield port
    child.ask_to_stop()
    child.wait(20)


def _answers(port: int) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(address(port).url):
        return True
    return False


def address(port: int) -> PostgresAddress:
    return PostgresAddress.read(f"postgresql://postgres@127.0.0.1:{port}/postgres")


def test_a_transaction_that_the_network_forgot_lets_go_of_its_locks(port: int) -> None:
    with Proxy(port) as way, session(address(way.port)) as forgotten, session(address(port)) as other:
        other.execute(text("CREATE TABLE once (id int PRIMARY KEY)"))
        other.commit()
        forgotten.execute(text("INSERT INTO once VALUES (1)"))
        way.forget()
        began = time.monotonic()

        other.execute(text("SET lock_timeout = '150s'"))
        other.execute(text("INSERT INTO once VALUES (1)"))
        other.commit()

        assert time.monotonic() - began < 120
        with pytest.raises(DBAPIError):
            forgotten.execute(text("SELECT 1"))
    for each in (way.port, port):
        get_engine(address(each)).dispose()
