"""A transaction whose client the network forgot ends: its locks hold up nobody for hours."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

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

_NAMES = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
_SOON = "?keepalives_idle=1&keepalives_interval=1&keepalives_count=2&tcp_user_timeout=3000"
_SHOWN = "SELECT setting FROM pg_settings WHERE name = :name"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a Postgres of these tests' own listens over TCP."""
    port = find_free_port()
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("data"))
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


def address(port: int, notices: str = "") -> PostgresAddress:
    return PostgresAddress.read(f"postgresql://postgres@127.0.0.1:{port}/postgres{notices}")


def test_a_transaction_that_the_network_forgot_lets_go_of_its_locks(port: int) -> None:
    with Proxy(port) as way, session(address(way.port, _SOON)) as forgotten, session(address(port)) as other:
        other.execute(text("CREATE TABLE once (id int PRIMARY KEY)"))
        other.commit()
        forgotten.execute(text("INSERT INTO once VALUES (1)"))
        way.forget()

        other.execute(text("SET lock_timeout = '30s'"))  # the insert below waits for the forgotten one's end
        other.execute(text("INSERT INTO once VALUES (1)"))
        other.commit()

        with pytest.raises(DBAPIError):
            forgotten.execute(text("SELECT 1"))
    for each in (address(way.port, _SOON), address(port)):
        get_engine(each).dispose()


def test_without_such_parameters_in_the_url_both_sides_notice_within_a_minute(port: int) -> None:
    with session(address(port)) as opened:
        connection = opened.connection().connection.driver_connection
        assert isinstance(connection, psycopg.Connection)
        ours = {name: int(connection.info.get_parameters()[name]) for name in _NAMES}
        postgres = {
            name: int(opened.scalar(text(_SHOWN), {"name": f"tcp_{name.removeprefix('tcp_')}"})) for name in _NAMES
        }
    get_engine(address(port)).dispose()
    assert ours == postgres
    assert ours["keepalives_idle"] + ours["keepalives_interval"] * ours["keepalives_count"] <= 60
    assert ours["tcp_user_timeout"] <= 60_000  # ms
