"""`sortline demo --unlabelled`: from a pile of texts and the names of labels to suggestions that get better."""

import csv
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from sqlalchemy.orm import Session

from classifier.classifier import Classifier, load_classifier
from classifier.figures import VersionFigures
from db.queries import decisions, labels, model_versions, people, queue_items, starters, waiting_counts
from db.queries.decisions import Decision, Shares
from db.session import session
from sortline.cli.demo_run import sample
from sortline.errors import ConfigurationError, ConflictError
from sortline.queue import Document, DocumentQueue
from sortline.settings import Settings
from trainer.revised import with_newest_head
from web.desk.queue_policy import next_documents

DECISIONS = (0, 40, 160)
_SOURCE = "demo-unlabelled"
_REVIEWER = "demo"
_PATIENCE_S = 300.0
_LEASE_S = 300.0


class Looked(NamedTuple):
    """How good a starter is: ``right`` on other texts, after ``decided`` documents, of which it has ``learnt`` some."""

    decided: int
    learnt: int
    right: float
    seconds: float


def play(settings: Settings, queue: DocumentQueue, on_stage: Callable[[str], None]) -> Iterator[Looked]:
    """Send the sample's texts without their labels, name the labels, and decide some documents at the desk.

    Yields:
        How good the starter is on 440 other texts after 0, 40 and 160 decisions.

    Raises:
        ConfigurationError: a trained model is active here, or a starter was not made in time.
    """
    texts, others = _rows("support_messages.csv"), _rows("incoming.csv")
    with session(settings.postgres_url) as opened:
        version = model_versions.active(opened)
        if version is not None and not version.starter:
            raise ConfigurationError(f"model version {version.id} is active here already; run this in an empty folder")
    queue.append([Document(str(i), text, _SOURCE) for i, (text, _) in enumerate(texts)], "bulk")
    on_stage(f"{len(texts):,} texts sent, without their labels")
    began = time.monotonic()
    with session(settings.postgres_url) as opened:
        known = _name_labels(opened, sorted({label for _, label in texts}))
        reviewer = _reviewer(opened)
        opened.commit()
    on_stage(f"{len(known)} labels named: {', '.join(known)}")
    truth, decided = {text: known[label] for text, label in texts}, 0
    for wanted in DECISIONS:
        with session(settings.postgres_url) as opened:
            decided += _decide(opened, reviewer, truth, wanted - decided)
        if wanted:
            on_stage(f"{decided} documents decided at the desk")
        classifier, learnt = _settled(settings)
        found = classifier.logits([text for text, _ in others]).argmax(axis=1)
        right = sum(classifier.checkpoint.labels[int(i)] == label for i, (_, label) in zip(found, others, strict=True))
        yield Looked(decided, learnt, right / len(others), time.monotonic() - began)


def _rows(name: str) -> list[tuple[str, str]]:
    with sample(name).open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _name_labels(opened: Session, names: list[str]) -> dict[str, int]:
    for name in names:
        try:
            labels.add(opened, name, "demo")
        except ConflictError:
            continue  # it has been named in an earlier run
    return {label.name: label.id for label in labels.listing(opened) if label.name in names}


def _reviewer(opened: Session) -> int:
    if not any(user.name == _REVIEWER for user in people.listing(opened)):
        people.add(opened, _REVIEWER, "admin", "demo")
    return people.by_name(opened, _REVIEWER).id


def _decide(opened: Session, user_id: int, truth: Mapping[str, int], count: int) -> int:
    """Decide so many of the documents that the desk gives, as somebody who knows the sample's labels."""
    done = 0
    while done < count:
        ids = next_documents(opened, user_id, (), 1, lease_s=_LEASE_S, hidden_share=0.0)
        given = queue_items.leased(opened, user_id, ids)
        if not given:
            break
        item = given[0]
        decision = Decision(item.document_id, item.lease_token, "label", truth[item.text])
        decisions.decide(opened, decision, user_id, Shares())
        opened.commit()
        done += 1
    return done


def _settled(settings: Settings) -> tuple[Classifier, int]:
    """The starter that has learnt what it is to learn now, once all documents have a prediction."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with session(settings.postgres_url) as opened:
            version = model_versions.active(opened)
            if version is not None and not starters.due(opened) and not waiting_counts.unpredicted(opened).rows:
                learnt = VersionFigures.model_validate(version.metrics).starter.learnt or 0
                classifier = load_classifier(version.checkpoint_uri, version.sha256, settings)
                return with_newest_head(opened, version.id, classifier), learnt
        time.sleep(0.5)
    raise ConfigurationError("no starter was made in time; see the log of housekeeping")
