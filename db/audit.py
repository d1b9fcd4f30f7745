"""Where what is audited was asked for, and a line of the log for each such row.

The web says for each request where it came from, so that every row that the request makes has it.
"""

import logging
from contextvars import ContextVar
from typing import Any

log = logging.getLogger(__name__)
came_from: ContextVar[str | None] = ContextVar("came_from", default=None)


def tell(_mapper: object, _connection: object, row: Any) -> None:
    """Log a row that a request made: who, what and from where, never its detail."""
    if row.address is not None:
        log.info("%s: %s, %s, from %s", row.actor, row.action, row.subject, row.address)
