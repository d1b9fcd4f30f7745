"""Connections to Postgres, and what reads need. It loads no mapper, so that `sortline status` starts fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from sortline.errors import PostgresUnreachableError
from sortline.postgres_address import PostgresAddress

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

# What a query that loads no rows of tables needs: both have `execute` and `scalar`.
Reads: TypeAlias = "Session | Connection"
SCHEMA = "sortline_schema"  # an engine's execution option: the schema in which its transactions look for tables


# A connection that the network dropped ends within a minute; without this its caller would wait for hours.
_NOTICES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 30_000}
# On Postgres' side too: a transaction that waits there for its client would hold its locks for hours.
_SERVER_NOTICES = ", ".join(
    f"set_config('tcp_{name.removeprefix('tcp_')}', '{value}', false)" for name, value in _NOTICES.items()
)


@cache
def get_engine(address: PostgresAddress, pool_size: int = 10) -> Engine:
    """The connection pool of a database, one per process."""
    url, options = engine_arguments(address)
    return create_engine(url, pool_size=pool_size, **options)


def engine_arguments(address: PostgresAddress, schema: str | None = None) -> tuple[URL, dict[str, Any]]:
    """What SQLAlchemy needs to connect: a URL without the password, and options with it.

    Args:
        schema: the schema of tables named without one; None: Postgres' search path.
    """
    found = address.parameters
    url = URL.create("postgresql+psycopg", found.get("user"), host=found.get("host"), database=found.get("dbname"))
    options: dict[str, Any] = {
        "pool_pre_ping": True,
        "hide_parameters": True,  # keeps document texts out of error messages
        "connect_args": {"connect_timeout": 5, "application_name": "sortline", **_NOTICES, **found},
    }
    if schema is not None:
        options["execution_options"] = {SCHEMA: schema}
    return url, options


@event.listens_for(Engine, "begin")
def _look_in_schema(connection: Connection) -> None:
    """Set the engine's schema in every transaction, because a pooler gives each transaction another session."""
    schema = connection.get_execution_options().get(SCHEMA)
    if schema is not None:
        connection.exec_driver_sql(f"SET LOCAL search_path TO {schema}")


@event.listens_for(Engine, "connect")
def _prepare_nothing_behind_a_pooler(connection: object, _record: object) -> None:
    """Switch prepared statements off if there is a pooler; let Postgres notice a connection that is forgotten.

    A statement is prepared in one session, and a pooler gives the next transaction another. A pooler is recognised by
    this: the process id given on connecting is not that of the process that answers.
    """
    if not isinstance(connection, psycopg.Connection):
        return
    autocommit, connection.autocommit = connection.autocommit, True
    answer = connection.execute(f"SELECT pg_backend_pid(), {_SERVER_NOTICES}", prepare=False).fetchone()
    connection.autocommit = autocommit
    if answer is None or answer[0] != connection.info.backend_pid:
        connection.prepare_threshold = None


@contextmanager
def reading(address: PostgresAddress) -> Iterator[Connection]:
    """A connection on a database for queries that need no session.

    Raises:
        PostgresUnreachableError: the message has the address.
    """
    try:
        opened = get_engine(address).connect()
    except DBAPIError as error:
        raise unreachable(address, error) from None
    with opened:
        yield opened


def unreachable(address: PostgresAddress, error: DBAPIError) -> PostgresUnreachableError:
    """The error for a Postgres that can't be reached: one line with its address and the reason."""
    why = str(error.orig).strip().splitlines()[0] if error.orig else type(error).__name__
    return PostgresUnreachableError(f"Postgres at {address} can't be reached: {why}")
