"""Fast counts of rows: exact while there are few, beyond that estimated and marked as such."""

from typing import Any, NamedTuple

from db.reading import Reads, statement

MOST = 10_000


class Count(NamedTuple):
    """A number of rows. If not ``exact``, Postgres' planner estimated it from the last ANALYZE and the table's size."""

    rows: int
    exact: bool = True


def known(opened: Reads, counted: int, query: str, **values: Any) -> Count:
    """The count of a query's rows.

    Args:
        counted: the exact count, cut off at MOST.
        query: the query that was counted, without the limit.
    """
    if counted < MOST:
        return Count(counted)
    plan = opened.scalar(statement(f"EXPLAIN (FORMAT JSON) {query}"), values)
    return Count(max(counted, int(plan[0]["Plan"]["Plan Rows"])), False)
