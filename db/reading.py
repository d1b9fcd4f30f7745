"""Reads of Postgres without SQLAlchemy, which alone took a third of `sortline status`.

The queries are the same ones: a statement that is made here is executed by a plain connection of psycopg as well as by
a session. So what `sortline status` shows can't drift from what the web shows.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg

from sortline.errors import PostgresUnreachableError
from sortline.postgres_address import PostgresAddress

if TYPE_CHECKING:
    from sqlalchemy import TextClause
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.orm import Session

# A connection that the network dropped ends within a minute; without this its caller would wait for hours. The URL may
# name other values.
_NOTICES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 30_000}
# On Postgres' side too: a transaction that waits there for its client would hold its locks for hours.
_SERVER_NOTICES = ", ".join(f"set_config('tcp_{name.removeprefix('tcp_')}', %({name})s, false)" for name in _NOTICES)
# How values are written, whatever the role or the database says: psycopg reads these forms alone. Texts are UTF-8.
_READ = {"DateStyle": "ISO", "IntervalStyle": "postgres", "TimeZone": "UTC"}
# And a commit is on disk, because its documents leave Redis then: not `off` or `local`, as a role may have it.
_DURABLE = """set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
THEN 'on' ELSE current_setting('synchronous_commit') END, false)"""
_FORMS = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _READ.items())
# Names of parameters as SQLAlchemy's `text` has them; two colons are a cast.
_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


class _Statement:
    """SQL with parameters as ``:name``, which SQLAlchemy takes for what `sqlalchemy.text` makes of it."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._clause: TextClause | None = None
        self.of_psycopg = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))

    def __clause_element__(self) -> "TextClause":
        if self._clause is None:
            from sqlalchemy import text

            self._clause = text(self._sql)
        return self._clause

    def _execute_on_connection(self, *arguments: Any) -> Any:
        """How SQLAlchemy executes what is not its own (it looks for this name)."""
        return self.__clause_element__()._execute_on_connection(*arguments)


if TYPE_CHECKING:

    def statement(sql: str) -> TextClause:
        """A statement for `Reads`, with parameters as ``:name``."""

else:
    statement = _Statement


class Rows:
    """The rows of a result."""

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        self._cursor = cursor

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def scalars(self) -> Iterator[Any]:
        """The first column."""
        return (row[0] for row in self._cursor)

    def one_or_none(self) -> Any:
        """The only row, or None."""
        rows = self._cursor.fetchall()
        assert len(rows) <= 1, "the query gives several rows"
        return rows[0] if rows else None

    def one(self) -> Any:
        """The only row."""
        (row,) = self._cursor.fetchall()
        return row

    def scalar_one(self) -> Any:
        """The first column of the only row."""
        return self.one()[0]


class PlainConnection:
    """A connection of psycopg that executes statements of this module, in a transaction that is not committed."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, statement: "TextClause", parameters: Mapping[str, Any] | None = None) -> Rows:
        """Execute a statement of this module."""
        assert isinstance(statement, _Statement)
        return Rows(self._connection.execute(statement.of_psycopg, parameters or {}))

    def scalar(self, statement: "TextClause", parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row; None: there is no row."""
        return next(self.execute(statement, parameters).scalars(), None)


# What a query that loads no rows of tables needs: both have `execute` and `scalar`.
Reads: TypeAlias = "Session | PlainConnection"


@contextmanager
def reading(address: PostgresAddress) -> Iterator[PlainConnection]:
    """A connection on a database for queries that need no session.

    Raises:
        PostgresUnreachableError: the message has the address.
    """
    try:
        connection = psycopg.connect(**connect_arguments(address))
    except psycopg.Error as error:
        raise unreachable(address, error) from None
    with connection:
        prepare(connection)
        yield PlainConnection(connection)
        connection.rollback()


def connect_arguments(address: PostgresAddress) -> dict[str, Any]:
    """What psycopg needs to connect."""
    given = address.parameters
    if len(address.hosts) > 1:
        given.setdefault("target_session_attrs", "read-write")  # the primary, wherever it is
    return {"connect_timeout": 5, "application_name": "sortline", **_NOTICES, **given, "client_encoding": "UTF8"}


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Switch prepared statements off if there is a pooler; let Postgres notice a connection that is forgotten, write
    values as psycopg reads them, and commit to disk.

    Times come in UTC, whatever time zone Postgres was set up in: pages and messages call them UTC.

    A statement is prepared in one session, and a pooler gives the next transaction another. A pooler is recognised by
    this: the process id given on connecting is not that of the process that answers.
    """
    autocommit, connection.autocommit = connection.autocommit, True
    given = connection.info.get_parameters()
    notices = {name: given.get(name, str(value)) for name, value in _NOTICES.items()}
    sql = f"SELECT pg_backend_pid(), {_SERVER_NOTICES}, {_FORMS}, {_DURABLE}"
    answer = connection.execute(sql, notices, prepare=False).fetchone()
    connection.autocommit = autocommit
    if answer is None or answer[0] != connection.info.backend_pid:
        connection.prepare_threshold = None


def first_line(error: Exception) -> str:
    """The first line of what Postgres or its driver says, without the statement that SQLAlchemy adds; and advice."""
    said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0] or type(error).__name__
    return f"{said}; run `sortline migrate`" if is_unmigrated(error) else said


def is_unmigrated(error: Exception) -> bool:
    """Whether Postgres lacks a table, column, type or function: its tables are missing, or of another version."""
    found = getattr(error, "orig", None) or error
    return getattr(found, "sqlstate", None) in {"42P01", "42703", "42704", "42883"}


def unreachable(address: PostgresAddress, error: "DBAPIError | psycopg.Error") -> PostgresUnreachableError:
    """The error for a Postgres that can't be reached: one line with its address and the reason."""
    return PostgresUnreachableError(f"Postgres at {address} can't be reached: {first_line(error)}")
