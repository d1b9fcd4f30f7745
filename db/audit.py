"""Where audited requests came from, and a log line for each audit row.

The web sets each request's address, so that every audit row of that request has it.
"""

import logging
from contextvars import ContextVar
from typing import Any

log = logging.getLogger(__name__)
came_from: ContextVar[str | None] = ContextVar("came_from", default=None)


def log_row(_mapper: object, _connection: object, row: Any) -> None:
    """Log who did what, and from where, for an audit row of a request; never its detail."""
    if row.address is not None:
        log.info("%s: %s, %s, from %s", row.actor, row.action, row.subject, row.address)
