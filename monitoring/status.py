"""How the line is doing: the same figures for the command line and the web."""

from collections.abc import Sequence
from typing import Any

from classifier.figures import VersionFigures
from classifier.risk_targets import at_target
from classifier.shortcomings import shortcomings
from db.queries import dead_letter_counts, search_behind, status, waiting_counts
from db.queries.counts import Count
from db.queries.status import Run, Version
from db.reading import Reads
from monitoring.alarms import Now, alarms
from sortline.counted import counted
from sortline.published import of_others
from sortline.queue import DocumentQueue
from sortline.redis_client import reaching
from sortline.settings import LANES, Settings


def line_status(opened: Reads, queue: DocumentQueue, settings: Settings) -> dict[str, Any]:
    """The figures of `sortline status --json`, without URLs; ``estimated`` names those that are estimates, not counts.

    Raises:
        ServerUnreachableError: Redis can't be reached.
    """
    states = {lane: queue.lane(lane) for lane in LANES}
    versions = status.versions(opened)
    active = next((version for version in versions if version.status == "active"), None)
    dead, waiting = dead_letter_counts.count(opened), waiting_counts.by_reason(opened)
    workers = queue.workers()
    behind = search_behind.behind(opened)
    run = status.newest_run(opened)
    unpredicted = waiting_counts.unpredicted(opened)
    figures = {
        "dead": dead,
        "unpredicted": unpredicted,
        **{f"queue.{reason}": each for reason, each in waiting.items()},
    }
    found = {
        "lanes": {lane: {"backlog": s.backlog, "oldest_s": s.oldest_s} for lane, s in states.items()},
        "pending": sum(state.pending for state in states.values()),
        "dead": dead.rows,
        "rate": round(sum(worker["documents_per_s"] for worker in workers), 2),
        "active_model": active.id if active else None,
        "starter": active is not None and active.starter,
        "unpredicted": unpredicted.rows,
        "note": _note(active is not None, unpredicted) + _lacks_a_label(opened, active is None and settings.starter),
        "workers": workers,
        "queue": {reason: each.rows for reason, each in waiting.items()},
        "search_behind": behind.documents,
        "search_behind_s": behind.seconds,
        "estimated": [name for name, each in figures.items() if not each.exact],
        "training": _training(opened, run, status.enough_to_train(opened, settings.retrain_after)),
        "shortcomings": _shortcomings(sorted(versions, key=lambda version: version is not active)),
    }
    with reaching(queue.client):
        published = of_others(queue.client, settings.prefix, "")
    now = Now(opened, queue, settings, found, active, run, published)
    return found | {"alarms": [alarm._asdict() for alarm in alarms(now)]}


def _note(has_model: bool, unpredicted: Count) -> str:
    """What is to know of documents without a prediction, in a sentence; empty: nothing."""
    number = f"{'' if unpredicted.exact else 'about '}{counted(unpredicted.rows, 'document')}"
    if has_model:
        return f"{number} stored before there was a model: predictions are being made." if unpredicted.rows else ""
    waiting = f" ({number} now)" if unpredicted.rows else ""
    return f"No model yet: documents are stored and wait for a model{waiting}."


def _lacks_a_label(opened: Reads, awaits_starter: bool) -> str:
    """That one label is not enough, if there is one."""
    alone = awaits_starter and status.has_one_label(opened)
    return " One label is named; suggestions begin with the second." if alone else ""


def _shortcomings(versions: Sequence[Version]) -> list[dict[str, Any]]:
    """What the active version lacks, and the newest one if that is another."""
    return [
        {"model_version": version.id, **each._asdict()}
        for version in versions
        if version.status in ("active", "candidate")
        for each in shortcomings(_figures(version), version.status)
    ]


def _figures(version: Version) -> VersionFigures:
    return at_target(VersionFigures.model_validate(version.metrics), version.risk_target, version.may_lack_proof)


def _training(opened: Reads, run: Run | None, retrain_after: int) -> dict[str, Any]:
    """The newest training with its verdict, and the decisions that the next one waits for."""
    return {
        "run": run.id if run else None,
        "state": run.state if run else None,
        "progress": run.progress if run else {},
        "error": run.error if run else None,
        "model_version": run.model_version_id if run else None,
        "verdict": run.verdict if run else None,
        "decisions": status.decisions_since(opened, max(1, retrain_after)),
        "retrain_after": retrain_after,
    }
