"""Connections and sessions. Only the edge (a command, a route, a task, the intake) commits."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import urlsplit

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sortline.errors import ConfigurationError, PostgresUnreachableError


@cache
def get_engine(url: str, pool_size: int = 10) -> Engine:
    """The connection pool of ``url`` (an SQLAlchemy URL), one a process.

    Raises:
        ConfigurationError: the URL can't be read.
    """
    try:
        engine = create_engine(
            url,
            pool_size=pool_size,
            pool_pre_ping=True,
            hide_parameters=True,  # document texts stay out of error messages
            connect_args={"connect_timeout": 5, "application_name": "sortline"},
        )
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"SORTLINE_DATABASE_URL can't be read: {error}") from None

    return engine


@contextmanager
def session(url: str) -> Iterator[Session]:
    """A session on ``url``; the caller commits.

    Raises:
        PostgresUnreachableError: the message says where.
    """
    with Session(get_engine(url), expire_on_commit=False) as opened:
        try:
            opened.connection()
        except DBAPIError as error:
            raise PostgresUnreachableError(f"Postgres at {safe_url(url)} can't be reached: {_why(error)}") from None
        yield opened


def is_disk_full(error: BaseException) -> bool:
    """Whether Postgres refused a write because its disk is full (SQLSTATE 53100)."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == "53100"


def safe_url(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)


def _why(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if error.orig else type(error).__name__
