"""What is wrong now, in words, and what to do: the same list for the command line and the web.

Each check is a function that yields the alarms of one kind. Names and thresholds are those of
deploy/prometheus/rules.yml; docs/operators.md has a section for each name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from time import time
from typing import Any, NamedTuple

from db.queries import dead_letter_counts, drift_checks, status
from db.queries.status import Run, Version
from db.reading import Reads
from sortline.disk import Server
from sortline.published import deaf, figure
from sortline.queue import DocumentQueue
from sortline.redis_client import reaching, told
from sortline.reports import model_versions
from sortline.settings import Settings

_LATE_S = 60
_FULL = 0.8
_SWAPPED_WITHIN_S = 600
_SWEPT_WITHIN_S = 120
_OUTBOX_S = 300
_SILENT_S = 300
_UNTAKEN_S = 120
_SEARCH_BEHIND_S = 300


class Alarm(NamedTuple):
    """``name``: its section of docs/operators.md; ``said``: what is wrong; ``do``: what to do about it."""

    name: str
    said: str
    do: str


class Now(NamedTuple):
    """What the checks read.

    ``found``: the figures of `monitoring.status.line_status`; ``active``: the active model version; ``run``: the newest
    training run; ``published``: what each process publishes of itself (`sortline.published`).
    """

    opened: Reads
    queue: DocumentQueue
    settings: Settings
    found: Mapping[str, Any]
    active: Version | None
    run: Run | None
    published: Mapping[str, Any]


POSTGRES_AWAY = Alarm(
    "SortlinePostgresAway",
    "Postgres can't be reached: nothing can be stored. Workers hold what they have and wait; no document is lost.",
    "Look at Postgres' log and at its disk space. The line goes on by itself.",
)
REDIS_AWAY = Alarm(
    "SortlineRedisAway",
    "Redis can't be reached: no documents are accepted and none are classified. Those already accepted are safe.",
    "Look at Redis' log; after a start it first reads its append-only file. The line goes on by itself.",
)


def disk_full(server: Server) -> Alarm:
    """The disk under a server is full."""
    return Alarm(
        "SortlineDiskFull",
        f"The disk under {server.capitalize()} is full: no documents are accepted over HTTP (503). None is lost.",
        "Make room on the disk. The line goes on by itself, within half a minute.",
    )


def redis_refuses(why: object) -> Alarm:
    """Redis answers, but refuses commands."""
    return Alarm(
        "SortlineRedisRefuses",
        f"{why}. Documents wait; none is lost.",
        "Fix what it names: rename or delete a key of the wrong type, or grant a missing permission. The line goes on "
        "by itself.",
    )


def alarms(now: Now) -> list[Alarm]:
    """What is wrong now; what stops the line comes first.

    Raises:
        ServerUnreachableError: Redis can't be reached.
    """
    return [alarm for check in CHECKS for alarm in check(now)]


def _no_worker(now: Now) -> Iterator[Alarm]:
    if not now.found["workers"]:
        yield Alarm(
            "SortlineNoWorker",
            "No worker is running. Documents wait; none is lost.",
            "Start one with sortline up or celery -A worker worker. If one should be running, look at its log.",
        )


def _no_model(now: Now) -> Iterator[Alarm]:
    # Before the first promotion that is no fault: documents are stored, and the overview says that they wait.
    if not now.found["active_model"] and status.had_model(now.opened):
        yield Alarm(
            "SortlineNoModel",
            "No model version is active any more: documents are stored and wait for a model "
            f"({now.found['unpredicted']:,} waiting now).",
            "Promote a version with sortline models promote.",
        )


def _refused(now: Now) -> Iterator[Alarm]:
    reasons = [str(worker["refused"]) for worker in now.found["workers"] if worker["refused"]]
    if reasons:
        yield Alarm(
            "SortlineModelRefused",
            f"{_count(len(reasons), 'worker')} {_verb(reasons, 'refuse')} the active model version and "
            f"{_verb(reasons, 'use')} the previous one: {reasons[0]}",
            "Repair the model store, or go back with sortline models rollback.",
        )


def _redis_refuses(now: Now) -> Iterator[Alarm]:
    refusals = [str(worker["redis_refuses"]) for worker in now.found["workers"] if worker.get("redis_refuses")]
    if refusals:
        yield redis_refuses(f"Redis refuses commands of {_count(len(refusals), 'worker')}: {refusals[0]}")


def _lane_stalled(now: Now) -> Iterator[Alarm]:
    limit = now.settings.stalled_s
    for lane in now.found["lanes"]:
        longest = max(figure(now.published, "sortline_lane_stalled_seconds", lane=lane).values(), default=0.0)
        if limit and longest >= limit / 2:
            yield Alarm(
                "SortlineLaneStalled",
                f"Lane {lane} has entries, but a worker with room for them has read none for {time_in_words(longest)}.",
                f"The worker ends itself after {time_in_words(limit)}. If nothing restarts it, start it by hand.",
            )


def _old_model(now: Now) -> Iterator[Alarm]:
    version = now.active
    if version is None or version.live_s is None or version.live_s < _SWAPPED_WITHIN_S:
        return
    others = [set(model_versions(worker)) - {version.id} for worker in now.found["workers"] if not worker["refused"]]
    if old := [min(each) for each in others if each]:
        yield Alarm(
            "SortlineOldModel",
            f"{_count(len(old), 'worker')} still {_verb(old, 'use')} model version {old[0]}, "
            f"ten minutes or more after version {version.id} was promoted.",
            "Look in the worker's log for trouble with the model store or Postgres, then restart the worker.",
        )


def _live_late(now: Now) -> Iterator[Alarm]:
    oldest_s = now.found["lanes"]["live"]["oldest_s"]
    if oldest_s is not None and oldest_s > _LATE_S:
        yield Alarm(
            "SortlineLiveLate",
            f"Live documents are late: the oldest has waited for {time_in_words(oldest_s)}.",
            "If workers are running, add more or give them more cores; send documents that are not urgent to bulk.",
        )


def _backlog_fills(now: Now) -> Iterator[Alarm]:
    limit = now.settings.max_backlog
    for lane, state in now.found["lanes"].items():
        if state["backlog"] > _FULL * limit:
            yield Alarm(
                "SortlineBacklogFills",
                f"Lane {lane} is nearly full: {state['backlog']:,} of {limit:,} documents. At the limit, producers are "
                "told to wait (429).",
                "Start more workers; raise SORTLINE_MAX_BACKLOG only if Redis has memory for it.",
            )


def _disk_full(now: Now) -> Iterator[Alarm]:
    for which in now.queue.full_disks():
        yield disk_full(which)


def _redis_fills(now: Now) -> Iterator[Alarm]:
    with reaching(now.queue.client):
        memory = told(now.queue.client, "memory")
    used, most = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    if most and used > _FULL * most:
        yield Alarm(
            "SortlineRedisFills",
            f"Redis uses {100 * used / most:.0f} % of its memory. When full, it accepts no documents and drops none.",
            "Start more workers to empty the lanes, or give Redis more memory (maxmemory).",
        )


def _redis_forgets(now: Now) -> Iterator[Alarm]:
    if because := now.queue.forgets():
        yield Alarm(
            "SortlineRedisForgets",
            f"{because}. Until then the HTTP API accepts no documents.",
            "deploy/redis.conf has all that Redis must be set to; sortline doctor says what it finds.",
        )


def _dead_letters(now: Now) -> Iterator[Alarm]:
    reasons = dead_letter_counts.of_last_hour(now.opened)
    if reasons:
        which = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        yield Alarm(
            "SortlineDeadLetters",
            f"{_count(sum(reasons.values()), 'document')} went to the dead letters in the last hour: {which}.",
            "See why with sortline dead list, fix the producer, then run sortline dead requeue. Every one is kept.",
        )


def _housekeeping(now: Now) -> Iterator[Alarm]:
    swept = figure(now.published, "sortline_task_done_timestamp_seconds", task="housekeeping.publish_outbox").values()
    if not swept or time() - max(swept) > _SWEPT_WITHIN_S:
        yield Alarm(
            "SortlineHousekeepingStopped",
            "Housekeeping has not been heard of for a minute or more: events wait, and no training starts by itself. "
            "Documents are classified as before.",
            "Look at the logs of housekeeping and beat; both must be running.",
        )


def _deaf(now: Now) -> Iterator[Alarm]:
    if found := deaf(now.published):
        yield Alarm(
            "SortlineConsumerDeaf",
            f"{' and '.join(found)} {_verb(found, 'receive')} no messages from Celery's queues, though "
            "Redis can be reached: trainings, explanations and re-scorings wait.",
            "Such a process ends itself within half a minute. If nothing restarts it, start it by hand.",
        )


def _outbox(now: Now) -> Iterator[Alarm]:
    unsent, oldest_s = status.unsent(now.opened)
    if oldest_s > _OUTBOX_S:
        yield Alarm(
            "SortlineOutboxWaits",
            f"Other systems are not told of corrections: {_count(unsent, 'event')} not sent, the oldest for "
            f"{time_in_words(oldest_s)}.",
            "Look at housekeeping's log. Nothing is lost; the events are sent as soon as possible.",
        )


def _search(now: Now) -> Iterator[Alarm]:
    behind_s = now.found["search_behind_s"]
    if behind_s > _SEARCH_BEHIND_S:
        yield Alarm(
            "SortlineSearchBehind",
            f"Searches by words do not find the newest documents: {_count(now.found['search_behind'], 'document')}, "
            f"the oldest stored {time_in_words(behind_s)} ago.",
            "If a backlog is being classified, wait: documents go first. Otherwise look at housekeeping's log. "
            "Everything else finds them.",
        )


def _webhooks(now: Now) -> Iterator[Alarm]:
    paused, failing = status.ailing_webhooks(now.opened)
    if paused or failing:
        states = [f"{count:,} {state}" for count, state in ((paused, "paused"), (failing, "failing")) if count]
        yield Alarm(
            "SortlineWebhooks",
            f"Results do not reach every webhook: {' and '.join(states)}. Their events are kept for days.",
            "sortline webhooks list, or the page for admins, says which and why. Fix the receiver, then resume it.",
        )


def _accuracy(now: Now) -> Iterator[Alarm]:
    check = status.last_accuracy(now.opened)
    if check is None or not check.alarm:
        return
    said = [_disagreement(form, each, check.model_version_id) for form, each in check.alarming]
    yield Alarm(
        "SortlineAccuracyDisagrees",
        " ".join(said),
        "The page on live accuracy shows in which week, labels and form this began. Then train on newer decisions, or "
        "go back with sortline models rollback or, from one form to another, with sortline models serve-form.",
    )


def _disagreement(form: str | None, check: Mapping[str, Any], version_id: int) -> str:
    """What audits found of the answers of a version, or of one of its forms."""
    of = "" if form is None else f"form {form or '(not noted)'} of "
    value, low, high, expected = (f"{100 * (check[name] or 0):.1f}" for name in ("accuracy", "low", "high", "expected"))
    return (
        f"{value} % of the answers of {of}model version {version_id} are right (95 %: {low} to {high}, from "
        f"{_count(check['decided'], 'audit')} of the last four weeks), but its confidences promise {expected} %."
    )


def _training(now: Now) -> Iterator[Alarm]:
    run = now.run
    if run is None:
        return
    if run.state == "failed":
        yield Alarm(
            "SortlineTrainingFailed",
            f"Training run {run.id} failed; the active model version stays.",
            "sortline status and the page on models show its error. Fix it and start another training.",
        )
    untaken_s = run.untaken_s(now.settings.training_silent_s)
    if untaken_s > _UNTAKEN_S:
        yield Alarm(
            "SortlineTrainingWaits",
            f"Training run {run.id} has waited for {time_in_words(untaken_s)}, and no trainer has taken it.",
            "Check with sortline doctor that the trainer and housekeeping are running; then the run starts by itself.",
        )
    if (silent_s := run.silent_s) > _SILENT_S:
        yield Alarm(
            "SortlineTrainingSilent",
            f"Training run {run.id} is marked as running, but has not been heard of for {time_in_words(silent_s)}.",
            "Restart the trainer and housekeeping; the run goes on from its last saved state.",
        )


def _drift(now: Now) -> Iterator[Alarm]:
    for incident_id in drift_checks.open_incidents(now.opened):
        yield Alarm(
            "SortlineDrift",
            f"The traffic has changed (incident {incident_id}): documents arrive that are unlike those that the model "
            "was trained on, or in different proportions.",
            "The page on incidents says what has changed. Decide its evidence at the desk; train if the answers are "
            "wrong.",
        )
    if now.settings.drift_false_alarms and drift_checks.failing(now.opened):
        yield Alarm(
            "SortlineDriftUnseen",
            "The last drift checks failed: nobody is told when the traffic changes.",
            "The page on incidents has the error; housekeeping needs the encoder and 2 GiB of memory.",
        )


CHECKS: tuple[Callable[[Now], Iterator[Alarm]], ...] = (
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
    _search,
    _webhooks,
    _accuracy,
    _training,
    _drift,
)


def time_in_words(seconds: float) -> str:
    """A time span in words, in the largest unit of which there are at least two: 0.4 s, 75 s, 3 minutes, 2 days."""
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _count(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _verb(who: Sequence[object], verb: str) -> str:
    return verb if len(who) != 1 else f"{verb}s"
