"""Figures for overviews; each is fast with tables of any size.

They are read as plain rows, because loading the tables' classes alone would take `sortline status` a fifth of a second.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from db.queries.standing import decides
from db.reading import Reads, statement

# The block-range index finds the rows of a period without reading the rest.
_CLASSIFIED = statement("""
SELECT count(*), count(*) FILTER (WHERE decision = 'accept') FROM predictions
WHERE created_at >= :start AND created_at < :end AND kind = 'live'
""")
# Exact while there are few; beyond, the count of the last VACUUM or ANALYZE, including partitions if there are any.
_STORED = statement("""
SELECT greatest((SELECT count(*) FROM (SELECT FROM documents LIMIT :most) few), (
  SELECT CAST(coalesce(sum(greatest(reltuples, 0)), 0) AS bigint) FROM pg_class WHERE relkind = 'r' AND
    (oid = CAST('documents' AS regclass)
     OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = CAST('documents' AS regclass)))))
""")
_MOST_COUNTED = 50_000
_VERSIONS = statement("""
SELECT id, status, metrics || coalesce((
    SELECT figures FROM model_forms WHERE model_version_id = model_versions.id AND name = form), '{}') AS metrics,
  starter,
  CAST(extract(epoch FROM clock_timestamp() - promoted_at) AS double precision) AS live_s,
  (SELECT target FROM risk_targets ORDER BY id DESC LIMIT 1) AS risk_target, may_lack_proof
FROM model_versions WHERE status = 'active' OR id = (SELECT max(id) FROM model_versions) ORDER BY id DESC
""")
_HAD_MODEL = statement("SELECT EXISTS (SELECT FROM model_versions WHERE promoted_at IS NOT NULL)")
_NEWEST_RUN = statement("""
SELECT training_runs.id, state, progress, error, model_version_id, metrics -> 'gate' ->> 'outcome' AS verdict,
  CAST(extract(epoch FROM clock_timestamp() - heartbeat_at) AS double precision) AS unheard_s,
  CAST(extract(epoch FROM clock_timestamp() - training_runs.created_at) AS double precision) AS age_s
FROM training_runs LEFT JOIN model_versions ON model_versions.id = model_version_id
ORDER BY training_runs.id DESC LIMIT 1
""")
# Reads by the primary key, and only as many as asked for, so it is fast with any number of decisions.
_DECISIONS_SINCE = statement(f"""
SELECT count(*) FROM (
  SELECT FROM reviews WHERE {decides()}
    AND id > (SELECT coalesce(max(newest_review_id), 0) FROM training_runs) LIMIT :most) newer
""")  # noqa: S608 - of constants alone
FIRST_TRAINING = 100  # decisions after which a first training starts by itself, once there is a starter
_HAS_ONE_LABEL = statement("""
SELECT count(*) = 1 FROM (
  SELECT FROM labels WHERE archived_at IS NULL AND merged_into_id IS NULL LIMIT 2) in_use
""")
_BEFORE_ANY = statement("""
SELECT NOT EXISTS (SELECT FROM model_versions WHERE status = 'active' AND NOT starter)
  AND NOT EXISTS (SELECT FROM training_runs)
""")
_UNSENT = statement("""
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM (
  SELECT created_at FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT :most) oldest
""")
_MOST_UNSENT = 100_000
_AILING = statement("""
SELECT count(*) FILTER (WHERE paused_at IS NOT NULL), count(*) FILTER (WHERE paused_at IS NULL AND failures >= :down)
FROM webhooks
""")
WEBHOOK_DOWN = 3  # failed rounds in a row, after which a webhook as a whole fails, not single events
_LAST_ACCURACY = statement("""
SELECT model_version_id, drawn, decided, accuracy, low, high, expected, alarm, forms
FROM accuracy_looks
JOIN model_versions ON model_versions.id = model_version_id
WHERE status = 'active' ORDER BY day DESC LIMIT 1
""")


class Classified(NamedTuple):
    """Numbers of documents classified in a period, and of those that were accepted."""

    documents: int
    accepted: int


class Version(NamedTuple):
    """A model version with the figures of the form that serves; ``live_s``: seconds since its promotion, if any.

    ``risk_target``: that people have chosen for the installation, None: none.
    """

    id: int
    status: str
    metrics: dict[str, Any]
    starter: bool
    live_s: float | None
    risk_target: float | None = None
    may_lack_proof: bool = False


class Run(NamedTuple):
    """A training run; ``verdict``: the gate's; ``unheard_s``: seconds since its last heartbeat."""

    id: int
    state: str
    progress: dict[str, Any]
    error: str | None
    model_version_id: int | None
    verdict: str | None
    unheard_s: float | None
    age_s: float

    @property
    def silent_s(self) -> float:
        """Seconds since the last heartbeat of a running run; 0 if it is not running."""
        return max(0.0, self.unheard_s or 0.0) if self.state == "running" else 0.0

    def untaken_s(self, silent_s: float) -> float:
        """Seconds that it has waited for a trainer; 0 if it is not waiting.

        Args:
            silent_s: seconds without a heartbeat after which it was taken from its previous trainer.
        """
        if self.state != "waiting":
            return 0.0
        return max(0.0, self.age_s if self.unheard_s is None else self.unheard_s - silent_s)


class AccuracyCheck(NamedTuple):
    """A daily check of a version's accuracy: `db.models.AccuracyLook` has the same figures."""

    model_version_id: int
    drawn: int
    decided: int
    accuracy: float | None
    low: float
    high: float
    expected: float | None
    alarm: bool
    forms: dict[str, Any]

    @property
    def alarming(self) -> list[tuple[str | None, Mapping[str, Any]]]:
        """The forms of which it alarms, if several answered, with their figures; without a name: the whole version."""
        if not self.alarm:
            return []
        forms: list[tuple[str | None, Mapping[str, Any]]] = []
        if len(self.forms) > 1:
            forms += [(name, each) for name, each in self.forms.items() if each["alarm"]]
        return forms or [(None, self._asdict())]


def classified(opened: Reads, start: datetime, end: datetime) -> Classified:
    """Documents classified from ``start`` to before ``end``."""
    return Classified(*opened.execute(_CLASSIFIED, {"start": start, "end": end}).one())


def stored(opened: Reads) -> tuple[int, bool]:
    """The number of stored documents, and whether it is exact."""
    count = int(opened.scalar(_STORED, {"most": _MOST_COUNTED}) or 0)
    return count, count < _MOST_COUNTED


def versions(opened: Reads) -> list[Version]:
    """The active version and the newest one, the newer first; they may be the same, or missing."""
    return [Version(*row) for row in opened.execute(_VERSIONS)]


def had_model(opened: Reads) -> bool:
    """Whether a model version is or was active."""
    return bool(opened.scalar(_HAD_MODEL))


def enough_to_train(opened: Reads, retrain_after: int) -> int:
    """New decisions after which a training starts by itself; 0: none does.

    Args:
        retrain_after: the setting, which counts once there was a training.
    """
    return FIRST_TRAINING if opened.scalar(_BEFORE_ANY) else retrain_after


def has_one_label(opened: Reads) -> bool:
    """Whether exactly one label is in use, which is too few for a starter."""
    return bool(opened.scalar(_HAS_ONE_LABEL))


def newest_run(opened: Reads) -> Run | None:
    """The newest training run; None: there was none yet."""
    row = opened.execute(_NEWEST_RUN).one_or_none()
    return Run(*row) if row else None


def decisions_since(opened: Reads, most: int) -> int:
    """The number of decisions since the newest run was made or froze its documents, counted up to ``most``."""
    return int(opened.scalar(_DECISIONS_SINCE, {"most": most}) or 0)


def unsent(opened: Reads) -> tuple[int, float]:
    """The number of events in the outbox, counted up to 100,000, and the age of the oldest in seconds."""
    count, oldest_s = opened.execute(_UNSENT, {"most": _MOST_UNSENT}).one()
    return int(count), float(oldest_s)


def ailing_webhooks(opened: Reads) -> tuple[int, int]:
    """The number of paused webhooks, and of others that failed several rounds in a row."""
    paused, failing = opened.execute(_AILING, {"down": WEBHOOK_DOWN}).one()
    return int(paused), int(failing)


def last_accuracy(opened: Reads) -> AccuracyCheck | None:
    """The newest accuracy check of the active version; None: there was none yet."""
    row = opened.execute(_LAST_ACCURACY).one_or_none()
    return AccuracyCheck(*row) if row else None
