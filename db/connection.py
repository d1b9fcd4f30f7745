"""Connection pools of SQLAlchemy on Postgres."""

from functools import cache
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event

from db.reading import connect_arguments, prepare
from sortline.postgres_address import PostgresAddress

SCHEMA = "sortline_schema"  # an engine's execution option: the schema in which its transactions look for tables


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
        "isolation_level": "READ COMMITTED",  # whatever the role's default is: two workers would stop each other
        "connect_args": connect_arguments(address),
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
def _prepare(connection: object, _record: object) -> None:
    if isinstance(connection, psycopg.Connection):
        prepare(connection)
