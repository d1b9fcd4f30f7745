"""Upgrades a database to the newest schema, or downgrades it."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db import locks
from db.connection import get_engine
from db.locks import Lock
from db.queries import server
from db.reading import first_line, unreachable
from sortline.errors import ConfigurationError
from sortline.postgres_address import PostgresAddress

_POSTGRES = 15
# SQLSTATEs of what a person has to change: a right is missing, the server or the role may only read, there is no schema
# to make tables in, or another program's table has the name of one of ours.
_FOR_PEOPLE = {"42501", "25006", "3F000", "42P06", "42P07", "42710", "42723", "0A000", "08P01"}


def _config() -> Config:
    return Config(str(Path(__file__).with_name("alembic.ini")))


def migrate(address: PostgresAddress, revision: str = "head") -> tuple[str | None, str | None]:
    """Upgrade the database at ``address`` to ``revision``, or downgrade it to an older one.

    Returns:
        The revision before, and after.

    Raises:
        PostgresUnreachableError: Postgres can't be reached.
        ConfigurationError: the database can't be used: its version, its encoding, or what this role may do.
    """
    config = _config()
    try:
        with get_engine(address).begin() as connection:
            _check(connection, address)
            locks.hold(connection, Lock.MIGRATION)  # two machines that start at the same time must not both migrate
            config.attributes["connection"] = connection
            before = MigrationContext.configure(connection).get_current_revision()
            goes_down = revision == "base" or revision.startswith("-")
            (command.downgrade if goes_down else command.upgrade)(config, revision)
            after = MigrationContext.configure(connection).get_current_revision()
    except CommandError as error:
        raise ConfigurationError(
            f"the tables in Postgres at {address} are of a newer Sortline or of another program: {error}"
        ) from None
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _FOR_PEOPLE:
            raise ConfigurationError(
                f"the tables of Sortline can't be made or changed in Postgres at {address}: {first_line(error)}"
            ) from None
        if error.connection_invalidated or error.orig.__class__.__name__ == "OperationalError":
            raise unreachable(address, error) from None
        raise
    return before, after


def _check(connection: Connection, address: PostgresAddress) -> None:
    """Refuse a server or database in which Sortline's tables would not work."""
    major, minor = server.version(connection)
    if major < _POSTGRES:
        raise ConfigurationError(f"Postgres at {address} is {major}.{minor}; Sortline needs {_POSTGRES} or newer")
    encoding = server.setting(connection, "server_encoding")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database at {address} has the encoding {encoding}, which can't store every text; make one with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


def newest_revision() -> str | None:
    """The revision that this version of Sortline needs."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def is_known(revision: str) -> bool:
    """Whether this version of Sortline has that revision; it lacks those of newer versions."""
    try:
        ScriptDirectory.from_config(_config()).get_revision(revision)
    except CommandError:
        return False
    return True
