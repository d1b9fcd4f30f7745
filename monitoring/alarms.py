"""What is wrong now, in words, and what to do: the same list for the command line and the web.

Each look is a function that tells the alarms of one kind; names and thresholds are those of
deploy/prometheus/rules.yml, and a section of docs/operators.md has the name of each.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from time import time
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from db.queries import (
    dead_letters,
    drift,
    incidents,
    live_accuracy,
    model_versions,
    outbox,
    server,
    training_runs,
    webhooks,
)
from sortline.disk import Server
from sortline.metrics import deaf, figure, of_others
from sortline.queue import DocumentQueue
from sortline.redis_client import reaching
from sortline.settings import Settings

_LATE_S = 60
_FULL = 0.8
_SWAPPED_WITHIN = timedelta(minutes=10)
_SWEPT_WITHIN_S = 120
_OUTBOX_S = 300
_SILENT_S = 300
_UNTAKEN_S = 120


class Alarm(NamedTuple):
    """``name``: its section of docs/operators.md; ``said``: what is wrong; ``do``: what to do about it."""

    name: str
    said: str
    do: str


class Now(NamedTuple):
    """What the looks look at; ``found``: the figures of `monitoring.status.line_status`."""

    session: Session
    queue: DocumentQueue
    settings: Settings
    found: Mapping[str, Any]


POSTGRES_AWAY = Alarm(
    "SortlinePostgresAway",
    "Postgres can't be reached: nothing can be stored. Workers hold what they have and wait; no document is lost.",
    "Look at Postgres' log, and whether its disk is full. The line goes on by itself.",
)
REDIS_AWAY = Alarm(
    "SortlineRedisAway",
    "Redis can't be reached: no documents are taken and none are classified. Those that were accepted are safe.",
    "Look at Redis' log; after a start it reads its append-only file first. The line goes on by itself.",
)


def disk_full(server: Server) -> Alarm:
    """The disk under a server is full."""
    return Alarm(
        "SortlineDiskFull",
        f"The disk under {server.capitalize()} is full: no documents are taken over HTTP (503). None is lost.",
        "Give it room. The line goes on by itself, within half a minute.",
    )


def redis_refuses(why: object) -> Alarm:
    """Redis answers, but does not do what it is asked for."""
    return Alarm(
        "SortlineRedisRefuses",
        f"{why}. Documents wait, none is lost.",
        "Mend what it names: a key of a wrong type is renamed or deleted, a missing right is given. The line goes on "
        "by itself.",
    )


def alarms(now: Now) -> list[Alarm]:
    """What is wrong now, what stops the line first.

    Raises:
        ServerUnreachableError: Redis is away.
    """
    return [alarm for look in LOOKS for alarm in look(now)]


def _no_worker(now: Now) -> Iterator[Alarm]:
    if not now.found["workers"]:
        yield Alarm(
            "SortlineNoWorker",
            "No worker runs. Documents wait, none is lost.",
            "Start one with sortline up or celery -A worker worker. If one should run, its log says why it does not.",
        )


def _no_model(now: Now) -> Iterator[Alarm]:
    if not now.found["active_model"]:
        waiting = sum(lane["backlog"] for lane in now.found["lanes"].values())
        yield Alarm(
            "SortlineNoModel",
            f"No model version is active: {_count(waiting, 'document')} will wait until there is one.",
            "Make one with sortline import FILE and sortline train, or promote one that there is.",
        )


def _refused(now: Now) -> Iterator[Alarm]:
    reasons = [str(worker["refused"]) for worker in now.found["workers"] if worker["refused"]]
    if reasons:
        yield Alarm(
            "SortlineModelRefused",
            f"The active model version is refused by {_count(len(reasons), 'worker')}, the one before goes on: "
            f"{reasons[0]}",
            "Mend the model store, or go back with sortline models rollback.",
        )


def _redis_refuses(now: Now) -> Iterator[Alarm]:
    refusals = [str(worker["redis_refuses"]) for worker in now.found["workers"] if worker.get("redis_refuses")]
    if refusals:
        yield redis_refuses(f"Redis refuses what {_count(len(refusals), 'worker')} asked of it: {refusals[0]}")


def _lane_stalled(now: Now) -> Iterator[Alarm]:
    limit = now.settings.stalled_s
    with reaching(now.queue.client):
        told = of_others(now.queue.client, now.settings.prefix, "")
    for lane in now.found["lanes"]:
        longest = max(figure(told, "sortline_lane_stalled_seconds", lane=lane).values(), default=0.0)
        if limit and longest >= limit / 2:
            yield Alarm(
                "SortlineLaneStalled",
                f"Lane {lane} has entries that a worker with room for them has not read for {said_time(longest)}.",
                f"Such a worker ends itself after {said_time(limit)}. If nothing starts it again, start it by hand.",
            )


def _old_model(now: Now) -> Iterator[Alarm]:
    version = model_versions.active(now.session)
    if version is None or version.promoted_at is None:
        return
    if server.now(now.session) - version.promoted_at < _SWAPPED_WITHIN:
        return
    old = [w for w in now.found["workers"] if w["model_version"] not in (None, version.id) and not w["refused"]]
    if old:
        yield Alarm(
            "SortlineOldModel",
            f"Model version {old[0]['model_version']} still answers in {_count(len(old), 'worker')}, "
            f"ten minutes and more after version {version.id} was promoted.",
            "Look at the worker's log for the model store or Postgres, and start it again.",
        )


def _live_late(now: Now) -> Iterator[Alarm]:
    oldest_s = now.found["lanes"]["live"]["oldest_s"]
    if oldest_s is not None and oldest_s > _LATE_S:
        yield Alarm(
            "SortlineLiveLate",
            f"Live documents are late: the oldest has waited for {said_time(oldest_s)}.",
            "If workers run, add more or give them more cores, and let producers send what is not urgent to bulk.",
        )


def _backlog_fills(now: Now) -> Iterator[Alarm]:
    limit = now.settings.max_backlog
    for lane, state in now.found["lanes"].items():
        if state["backlog"] > _FULL * limit:
            yield Alarm(
                "SortlineBacklogFills",
                f"Lane {lane} is nearly full: {state['backlog']:,} of {limit:,} documents. At the limit producers are "
                "told to wait (429).",
                "Start more workers; raise SORTLINE_MAX_BACKLOG only if Redis has memory for it.",
            )


def _disk_full(now: Now) -> Iterator[Alarm]:
    for which in now.queue.full_disks():
        yield disk_full(which)


def _redis_fills(now: Now) -> Iterator[Alarm]:
    with reaching(now.queue.client):
        memory = now.queue.client.info("memory")
    used, most = int(memory["used_memory"]), int(memory.get("maxmemory", 0))
    if most and used > _FULL * most:
        yield Alarm(
            "SortlineRedisFills",
            f"Redis uses {100 * used / most:.0f} % of its memory. When full it takes no documents, and drops none.",
            "Start more workers to empty the lanes, or give Redis more memory (maxmemory).",
        )


def _redis_forgets(now: Now) -> Iterator[Alarm]:
    if because := now.queue.forgets():
        yield Alarm(
            "SortlineRedisForgets",
            f"{because}, so the HTTP door takes none.",
            "Set appendonly yes and appendfsync always, as deploy/redis.conf has it.",
        )


def _dead_letters(now: Now) -> Iterator[Alarm]:
    reasons = dead_letters.of_last_hour(now.session)
    if reasons:
        which = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        yield Alarm(
            "SortlineDeadLetters",
            f"{_count(sum(reasons.values()), 'document')} became dead letters in the last hour: {which}.",
            "See why with sortline dead list, mend the producer, then sortline dead requeue. Each is kept.",
        )


def _housekeeping(now: Now) -> Iterator[Alarm]:
    with reaching(now.queue.client):
        told = of_others(now.queue.client, now.settings.prefix, "")
    swept = figure(told, "sortline_task_done_timestamp_seconds", task="housekeeping.publish_outbox").values()
    if not swept or time() - max(swept) > _SWEPT_WITHIN_S:
        yield Alarm(
            "SortlineHousekeepingStopped",
            "Housekeeping has not been heard of for a minute or more: events wait and no training starts by itself. "
            "Documents are classified as before.",
            "Look at the logs of housekeeping and beat; both must run.",
        )


def _deaf(now: Now) -> Iterator[Alarm]:
    with reaching(now.queue.client):
        found = deaf(of_others(now.queue.client, now.settings.prefix, ""))
    if found:
        yield Alarm(
            "SortlineConsumerDeaf",
            f"{' and '.join(found)} {'take' if len(found) > 1 else 'takes'} no messages from Celery's queues, though "
            "Redis can be reached: trainings, explanations and re-scorings wait.",
            "Such a process ends itself within half a minute. If nothing starts it again, start it by hand.",
        )


def _outbox(now: Now) -> Iterator[Alarm]:
    unsent, oldest_s = outbox.unsent(now.session)
    if oldest_s > _OUTBOX_S:
        yield Alarm(
            "SortlineOutboxWaits",
            f"Upstream is not told of corrections: {_count(unsent, 'event')}, the oldest {said_time(oldest_s)} old.",
            "Look at housekeeping's log. Nothing is lost; they leave when they can.",
        )


def _webhooks(now: Now) -> Iterator[Alarm]:
    paused, failing = webhooks.ailing(now.session)
    if paused or failing:
        states = [f"{count:,} {state}" for count, state in ((paused, "paused"), (failing, "failing")) if count]
        yield Alarm(
            "SortlineWebhooks",
            f"Results do not get through to every webhook: {' and '.join(states)}. Their events are kept for days.",
            "sortline webhooks list, or the page for admins, says which and why; mend the receiver, then resume it.",
        )


def _accuracy(now: Now) -> Iterator[Alarm]:
    look = live_accuracy.last_look(now.session)
    if look is None or not look.alarm:
        return
    value, low, high, expected = (f"{100 * (x or 0):.1f}" for x in (look.accuracy, look.low, look.high, look.expected))
    yield Alarm(
        "SortlineAccuracyDisagrees",
        f"{value} % of the answers of model version {look.model_version_id} are right (95 %: {low} to {high}, from "
        f"{_count(look.decided, 'audit')} of the last four weeks), where its confidences promise {expected} %.",
        "See the page on live accuracy for the week and the labels it comes from; then train on newer decisions, or go "
        "back with sortline models rollback.",
    )


def _training(now: Now) -> Iterator[Alarm]:
    run = next(iter(training_runs.newest(now.session)), None)
    if run is None:
        return
    if run.state == "failed":
        yield Alarm(
            "SortlineTrainingFailed",
            f"Training run {run.id} failed; the active model version stays.",
            "sortline status and the page on models have its error. Mend it and start another.",
        )
    untaken_s = training_runs.untaken_s(now.session, run, now.settings.training_silent_s)
    if untaken_s > _UNTAKEN_S:
        yield Alarm(
            "SortlineTrainingWaits",
            f"Training run {run.id} has waited for {said_time(untaken_s)}, and no trainer has taken it.",
            "See that the trainer and housekeeping run, with sortline doctor; the run starts by itself once they do.",
        )
    if (silent_s := training_runs.silent_s(now.session, run)) > _SILENT_S:
        yield Alarm(
            "SortlineTrainingSilent",
            f"Training run {run.id} is said to run, but has not been heard of for {said_time(silent_s)}.",
            "Start trainer and housekeeping again; the run goes on from its last state.",
        )


def _drift(now: Now) -> Iterator[Alarm]:
    for incident in incidents.open(now.session):
        if incident.kind == incidents.DRIFT:
            yield Alarm(
                "SortlineDrift",
                f"The traffic has moved (incident {incident.id}): documents come that are not like those that the "
                "model was trained on, or not in the same shares.",
                "The page on incidents says what has moved. Decide its evidence at the desk; train if the answers are "
                "wrong.",
            )
    if now.settings.drift_false_alarms and drift.looks_fail(now.session):
        yield Alarm(
            "SortlineDriftUnseen",
            "The last looks for drift failed: nobody is told when the traffic moves.",
            "The page on incidents has the error; housekeeping needs the encoder and 2 GiB of memory.",
        )


LOOKS: tuple[Callable[[Now], Iterator[Alarm]], ...] = (
    _disk_full,
    _no_worker,
    _no_model,
    _redis_forgets,
    _redis_fills,
    _backlog_fills,
    _live_late,
    _redis_refuses,
    _lane_stalled,
    _refused,
    _old_model,
    _housekeeping,
    _deaf,
    _dead_letters,
    _outbox,
    _webhooks,
    _accuracy,
    _training,
    _drift,
)


def said_time(seconds: float) -> str:
    """A span in words, in its largest unit that is whole: 0.4 s, 12 s, 3 minutes, 5 hours, 2 days."""
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _count(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"
