"""Upgrades a database to the newest schema, or downgrades it."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from db import locks
from db.connection import get_engine
from db.locks import Lock
from db.reading import unreachable
from sortline.postgres_address import PostgresAddress


def _config() -> Config:
    return Config(str(Path(__file__).with_name("alembic.ini")))


def migrate(address: PostgresAddress, revision: str = "head") -> tuple[str | None, str | None]:
    """Upgrade the database at ``address`` to ``revision``, or downgrade it to an older one.

    Returns:
        The revision before, and after.

    Raises:
        PostgresUnreachableError: Postgres can't be reached.
    """
    config = _config()
    try:
        with get_engine(address).begin() as connection:
            locks.hold(connection, Lock.MIGRATION)  # two machines that start at the same time must not both migrate
            config.attributes["connection"] = connection
            before = MigrationContext.configure(connection).get_current_revision()
            goes_down = revision == "base" or revision.startswith("-")
            (command.downgrade if goes_down else command.upgrade)(config, revision)
            after = MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        if error.connection_invalidated or error.orig.__class__.__name__ == "OperationalError":
            raise unreachable(address, error) from None
        raise
    return before, after


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
