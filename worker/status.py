"""How the line is doing: the same figures for the command line and the web."""

from typing import Any

from sqlalchemy.orm import Session

from db.queries import dead_letters, model_versions
from db.queries.status import predictions_per_s
from sortline.settings import LANES, Settings
from worker.queue import DocumentQueue


def line_status(session: Session, queue: DocumentQueue, settings: Settings) -> dict[str, Any]:
    """The figures of `sortline status --json`, without URLs.

    Raises:
        ServerUnreachableError: Redis is away.
    """
    states = {lane: queue.lane(lane) for lane in LANES}
    version = model_versions.active(session)
    return {
        "lanes": {lane: {"backlog": s.backlog, "oldest_s": s.oldest_s} for lane, s in states.items()},
        "pending": sum(state.pending for state in states.values()),
        "dead": dead_letters.count(session),
        "rate": predictions_per_s(session),
        "active_model": version.id if version else None,
        "workers": queue.workers(),
    }
