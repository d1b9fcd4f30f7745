"""How the line is doing: the same figures for the command line and the web."""

from typing import Any

from sqlalchemy.orm import Session

from classifier.figures import VersionFigures
from classifier.shortcomings import shortcomings
from db.models import ModelVersion
from db.queries import dead_letters, model_forms, model_versions, queue_items, search_index, training_runs
from monitoring.alarms import Now, alarms
from sortline.queue import DocumentQueue
from sortline.settings import LANES, Settings


def line_status(session: Session, queue: DocumentQueue, settings: Settings) -> dict[str, Any]:
    """The figures of `sortline status --json`, without URLs; ``estimated`` names those that are estimates, not counts.

    Raises:
        ServerUnreachableError: Redis can't be reached.
    """
    states = {lane: queue.lane(lane) for lane in LANES}
    version = model_versions.active(session)
    dead, waiting = dead_letters.count(session), queue_items.waiting(session)
    workers = queue.workers()
    behind = search_index.behind(session)
    figures = {"dead": dead, **{f"queue.{reason}": each for reason, each in waiting.items()}}
    found = {
        "lanes": {lane: {"backlog": s.backlog, "oldest_s": s.oldest_s} for lane, s in states.items()},
        "pending": sum(state.pending for state in states.values()),
        "dead": dead.rows,
        "rate": round(sum(worker["documents_per_s"] for worker in workers), 2),
        "active_model": version.id if version else None,
        "workers": workers,
        "queue": {reason: each.rows for reason, each in waiting.items()},
        "search_behind": behind.documents,
        "search_behind_s": behind.seconds,
        "estimated": [name for name, each in figures.items() if not each.exact],
        "training": _training(session, settings.retrain_after),
        "shortcomings": _shortcomings(session, version),
    }
    return found | {"alarms": [alarm._asdict() for alarm in alarms(Now(session, queue, settings, found))]}


def _shortcomings(session: Session, active: ModelVersion | None) -> list[dict[str, Any]]:
    """What the active version lacks, and the newest one if that is another."""
    newest = next(iter(model_versions.listing(session, 1)), None)
    versions = [version for version in (active, newest) if version is not None]
    return [
        {"model_version": version.id, **each._asdict()}
        for version in dict.fromkeys(versions)
        if version.status in ("active", "candidate")
        for each in shortcomings(_figures(session, version), version.status)
    ]


def _figures(session: Session, version: ModelVersion) -> VersionFigures:
    return VersionFigures.model_validate(model_forms.served_figures(session, version))


def _training(session: Session, retrain_after: int) -> dict[str, Any]:
    """The newest training with its verdict, and the decisions that the next one waits for."""
    run = next(iter(training_runs.newest(session)), None)
    version = model_versions.get(session, run.model_version_id) if run and run.model_version_id else None
    return {
        "run": run.id if run else None,
        "state": run.state if run else None,
        "progress": run.progress if run else {},
        "error": run.error if run else None,
        "model_version": version.id if version else None,
        "verdict": VersionFigures.model_validate(version.metrics).gate.outcome if version else None,
        "decisions": training_runs.decisions_since(session, max(1, retrain_after)),
        "retrain_after": retrain_after,
    }
