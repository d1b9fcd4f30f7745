"""Sessions. Only the edge (a command, a route, a task, the intake) commits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.connection import get_engine
from db.reading import unreachable
from sortline.postgres_address import PostgresAddress


@contextmanager
def session(address: PostgresAddress) -> Iterator[Session]:
    """A session on a database; the caller commits.

    Raises:
        PostgresUnreachableError: the message has the address.
    """
    with Session(get_engine(address), expire_on_commit=False) as opened:
        try:
            opened.connection()
        except DBAPIError as error:
            raise unreachable(address, error) from None
        yield opened


def is_pooled(session: Session) -> bool:
    """Whether there is a pooler, such as PgBouncer, between this session and Postgres."""
    driver: Any = session.connection().connection.driver_connection
    return driver.prepare_threshold is None


def is_encrypted(session: Session) -> bool:
    """Whether this session's connection uses TLS."""
    driver: Any = session.connection().connection.driver_connection
    return bool(driver.pgconn.ssl_in_use)


def is_disk_full(error: BaseException) -> bool:
    """Whether Postgres refused a write because its disk is full (SQLSTATE 53100)."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == "53100"
