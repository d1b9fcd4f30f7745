"""One drift check, in a process of its own: `python -m monitoring.drift_process`.

Housekeeping starts it and does not wait for it. It reads samples of bounded size, computes on one thread at a low
priority, and ends itself if it takes too long.
"""

import logging
import os
import signal
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from classifier.base_models import base_model_folder
from classifier.figures import VersionFigures
from classifier.store import ModelStore, model_store
from db.models import Incident, ModelVersion
from db.queries import drift as queries
from db.queries import drift_checks, incidents, labels, model_forms, model_versions, queue_items
from db.queries.drift import Answered
from db.session import session
from monitoring import drift, live_accuracy
from monitoring.drift import Figures, Matrix
from sortline.errors import CheckpointError, SortlineError
from sortline.logs import set_up_logging, silence_telemetry
from sortline.settings import Settings, get_settings

log = logging.getLogger(__name__)

EVERY_S = 3600.0
_MONTH_S = 30 * 24 * 3600.0
REFERENCE = 2000  # documents of each reference, and training texts
_LEAST_REFERENCE = 300
_WEEKS = (timedelta(days=28), timedelta(days=1))  # last weeks: from, to
_EVIDENCE = 50
# Measured accuracy is good enough when it is shown to be at most this much below that on test documents.
_ACCURACY_MARGIN = 0.05
_DOUBT = 0.05
_LEAST_AUDITS = 100  # because the interval is an approximation


class Outcome(NamedTuple):
    """The outcome of a check, in words; ``incident_id``: of the incident that it opened, if any."""

    said: str
    incident_id: int | None = None


def check_drift(settings: Settings) -> Outcome:
    """Check once and store the outcome: open an incident, or see whether the open one may be closed.

    Raises:
        CheckpointError, TrainingError: the encoder can't be loaded.
        TransientError: Postgres can't be reached.
    """
    with session(settings.postgres_url) as opened:
        check_id = drift_checks.begin(opened)
        opened.commit()
        try:
            outcome = _outcome(opened, settings)
        except SortlineError as error:
            opened.rollback()
            drift_checks.end(opened, check_id, str(error), failed=True)
            opened.commit()
            raise
        drift_checks.end(opened, check_id, outcome.said)
        opened.commit()
        return outcome


def _outcome(opened: Session, settings: Settings) -> Outcome:
    version = model_versions.active(opened)
    if version is None:
        return Outcome("No model version is active.")
    if version.starter:
        return Outcome("A starter is active, which has nothing to compare with.")
    now = next((each for each in incidents.open(opened) if each.kind == incidents.DRIFT), None)
    return _compare(opened, settings, version) if now is None else _follow(opened, now, version)


def level_of_a_check(false_alarms: float) -> float:
    """Level of each test of a check that may raise so many false alarms a month; see `monitoring.drift`."""
    return drift.level(false_alarms, _MONTH_S / EVERY_S)


def figures(answered: Sequence[Answered], known: frozenset[str], embeddings: Matrix, anchors: Matrix) -> Figures:
    """The figures of documents; ``embeddings`` (n, width) are theirs, ``anchors`` those of training texts."""
    return Figures(
        np.array([each.confidence for each in answered], np.float64),
        np.array([each.label_id for each in answered], np.int64),
        np.array([each.length for each in answered], np.float64),
        np.array([drift.unknown_share(each.text, known) for each in answered], np.float64),
        drift.distance_to_nearest(embeddings, anchors),
    )


def _compare(opened: Session, settings: Settings, version: ModelVersion) -> Outcome:
    before = [each for each in incidents.of_version(opened, incidents.DRIFT, version.id) if each.closed_at]
    traffic = _traffic(opened, version)
    if len(traffic) < drift.LEAST:
        return Outcome(f"Nothing new, or fewer than {drift.LEAST} documents of model version {version.id} so far.")
    training, held_out = queries.frozen(opened, version.id, version.form)
    weeks = _weeks(opened, version, before, traffic[-1].document_id)
    references = {
        name: each
        for name, each in (("training", held_out if training else []), ("weeks", weeks))
        if len(each) >= _LEAST_REFERENCE
    }  # fmt: skip
    if not references:
        return Outcome("There are neither held-out documents nor enough traffic of the last weeks to compare with yet.")
    names = {label.id: label.name for label in labels.listing(opened)}
    opened.commit()  # nothing is held while embeddings are computed
    now, then = _all_figures(settings, version, training, traffic, references)
    accepted = frozenset(
        (each["stream"], "training")
        for incident in before
        for each in incident.evidence.get("moved", [])
        if each["reference"] == "training"
    )
    level = level_of_a_check(settings.drift_false_alarms)
    moved = drift.moved(then, now, version.label_ids, level, settings.drift_margin, accepted)
    if not moved:
        return Outcome(f"{len(traffic):,} documents were compared with {_named(references)}: nothing has changed.")
    chosen = [traffic[i] for i in drift.evidence(moved, now, len(traffic))]
    return _open(opened, version, moved, chosen, names)


def _named(references: Iterable[str]) -> str:
    return " and ".join({"training": "the training snapshot", "weeks": "the weeks before"}[each] for each in references)


def _traffic(opened: Session, version: ModelVersion) -> list[Answered]:
    """The newest documents, or a sample of the last hour's if there are more of those; none if nothing is new."""
    most = drift.WINDOWS[-1]
    first = queries.first_since(opened, datetime.now(UTC) - timedelta(seconds=EVERY_S))
    found = queries.newest(opened, version.id, version.form, most)
    if not found or found[0].document_id < first:
        return []
    if found[-1].document_id > first:
        return queries.drawn(opened, version.id, version.form, first, found[0].document_id, most, seed=first)
    return found


def _weeks(opened: Session, version: ModelVersion, before: Sequence[Incident], oldest: int) -> list[Answered]:
    """Documents of the last weeks, since the last incident was closed: from then on the traffic counts as normal."""
    from_, to = (datetime.now(UTC) - each for each in _WEEKS)
    since = max([from_, *(each.closed_at for each in before if each.closed_at)])
    last = min(oldest, queries.first_since(opened, to)) - 1
    first = queries.first_since(opened, since)
    return queries.drawn(opened, version.id, version.form, first, last, REFERENCE, seed=last) if first <= last else []


def _all_figures(
    settings: Settings,
    version: ModelVersion,
    training: list[str],
    traffic: list[Answered],
    references: dict[str, list[Answered]],
) -> tuple[Figures, dict[str, Figures]]:
    from trainer.fine_tuning.sentence_embeddings import sentence_embeddings

    if not training:  # a version without a frozen reference: half of the weeks' documents stand in for training texts
        half = len(references["weeks"]) // 2
        training = [each.text for each in references["weeks"][half:]]
        references = {**references, "weeks": references["weeks"][:half]}
    parts = [traffic, *references.values()]
    texts = [*training[:REFERENCE], *(each.text for part in parts for each in part)]
    embeddings = sentence_embeddings(texts, _encoder(model_store(settings), version), "cpu", threads=1)
    anchors = embeddings[: len(training[:REFERENCE])]
    known = drift.known_words(training)
    at, made = len(anchors), []
    for part in parts:
        made.append(figures(part, known, embeddings[at : at + len(part)], anchors))
        at += len(part)
    return made[0], dict(zip(references, made[1:], strict=True))


def _encoder(store: ModelStore, version: ModelVersion) -> Path:
    """The pretrained encoder, from which new topics are far away; the fine-tuned one if that can't be loaded here."""
    try:
        return base_model_folder(version.base_model)
    except CheckpointError:
        return store.fetch(version.checkpoint_uri, version.sha256)


def _open(
    opened: Session, version: ModelVersion, moved: list[drift.Moved], chosen: list[Answered], names: dict[int, str]
) -> Outcome:
    """Open the incident, with its evidence in the desk's queue; the caller commits."""
    wanted = queries.undecided(opened, [each.document_id for each in chosen])[:_EVIDENCE]
    words = [drift.in_words(each, names) for each in moved]
    evidence = {
        "moved": [{"stream": each.stream, "reference": each.reference} for each in moved],
        "words": words,
        "document_ids": wanted,
        "newest_document_id": queries.newest_id(opened),
    }
    incident_id = incidents.begin(opened, incidents.DRIFT, version.id, max(each.by for each in moved), evidence)
    if incident_id is None:
        return Outcome("Another check has opened an incident in the meantime.")
    predicted, note = {each.document_id: each.label_id for each in chosen}, f"Evidence of incident {incident_id}."
    items = [
        {"document_id": id_, "score": float(place), "label_id": predicted[id_], "note": note}
        for place, id_ in enumerate(wanted)
    ]
    queue_items.add(opened, items, "drift")
    log.warning("incident %d: the traffic has changed: %s", incident_id, " ".join(words))
    return Outcome(f"Incident {incident_id} was opened.", incident_id)


def _follow(opened: Session, incident: Incident, version: ModelVersion) -> Outcome:
    """Close an incident when audits since the midnight after it show that the answers are good.

    There is one test a day, on what was decided by midnight. All of them together are wrong in at most one of twenty
    incidents: the error allowed on the k-th day is the part 1 / (k (k + 1)) of that, and these parts add up to 1.
    """
    until = live_accuracy.today()
    since = incident.opened_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    days = max(1, (until - since).days)
    found = live_accuracy.of_version(opened, version.id, since, until, 1 - 2 * _DOUBT / (days * (days + 1)))
    tested = VersionFigures.model_validate(model_forms.served_figures(opened, version)).test.accuracy
    wanted = (1.0 if tested is None else tested) - _ACCURACY_MARGIN
    if found.value is None:
        return Outcome(
            f"Incident {incident.id} is open, so there are no checks. No audit of the following days is decided yet."
        )
    measured = (
        f"{_percent(found.value)} of the answers since are right (at least {_percent(found.low)}), by "
        f"{found.decided:,} audit{'s' if found.decided != 1 else ''}; {_percent(wanted)} is enough for model version "
        f"{version.id}"
    )
    if found.decided < _LEAST_AUDITS or found.low < wanted:
        return Outcome(f"Incident {incident.id} is open, so there are no checks. {measured}.")
    incidents.close(opened, incident.id, "beat", measured)
    log.warning("incident %d is closed: %s", incident.id, measured)
    return Outcome(f"Incident {incident.id} was closed.")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def main() -> None:
    """Check for drift in this process, which ends itself after half an hour."""
    signal.alarm(drift_checks.MOST_CHECK_S)
    os.nice(10)
    settings = get_settings()
    silence_telemetry()
    set_up_logging(settings.log_level)
    try:
        check_drift(settings)
    except (SortlineError, DBAPIError) as error:
        log.warning("the drift check failed: %s", error)


if __name__ == "__main__":
    main()
