"""How many rows there are, quick at any number: counted while they are few, estimated beyond, and said so."""

from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

MOST = 10_000


class Count(NamedTuple):
    """A number of rows; not ``exact``: what Postgres' planner believes, by the last ANALYZE and the table's size."""

    rows: int
    exact: bool = True


def known(session: Session, counted: int, query: str, **values: Any) -> Count:
    """The count of a query's rows.

    Args:
        counted: how many there are, counted up to MOST.
        query: what was counted, without the limit.
    """
    if counted < MOST:
        return Count(counted)
    plan = session.scalar(text(f"EXPLAIN (FORMAT JSON) {query}"), values)
    return Count(max(counted, int(plan[0]["Plan"]["Plan Rows"])), False)
