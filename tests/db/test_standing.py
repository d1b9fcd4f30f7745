"""Two rows of the same moment: every reader takes the same prediction, decision and text for the one that holds."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import orjson
import pytest
from filled_queue import NAMES, add_labels
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Document, ModelVersion, Prediction, Review
from db.queries import (
    bulk_decisions,
    decisions,
    document_search,
    document_state,
    erasure,
    intake,
    labelled,
    live_accuracy,
    merge_labels,
    people,
    predictions,
    queue_items,
    rescore,
    retention,
    shadows,
    team,
    upstream_decisions,
)
from db.queries.decisions import Decision, Shares
from db.queries.document_history import history
from db.queries.document_search import Filters
from db.queries.document_state import Sent
from db.queries.upstream_decisions import Upstream
from tests.incoming import incoming

MOMENT = datetime.now(UTC) - timedelta(days=3)
TEXT = "where is my card"
HASH = hashlib.sha256(TEXT.encode()).hexdigest()
A, B, C = NAMES
LABELS = {A: 1, B: 2, C: 3}
ORDERS = pytest.mark.parametrize("order", [1, -1], ids=["written in their order", "written the other way round"])


class Asked(NamedTuple):
    """A session whose document is asked about, and people who can decide it."""

    session: Session
    document: int
    ann: int
    bob: int
    eve: int

    def scalar(self, query: str) -> object:
        return self.session.scalar(text(query))


@pytest.fixture
def asked(session: Session) -> Asked:
    assert {label.name: label.id for label in add_labels(session)} == LABELS
    session.add_all(
        ModelVersion(status="candidate", checkpoint_uri="nowhere", sha256="0", base_model="tiny", label_ids=[1, 2, 3])
        for _ in range(2)
    )
    document = Document(source="mail", external_id="m-1", content_hash=bytes.fromhex(HASH), text=TEXT, lane="live",
                        entry_id="1-0", received_at=MOMENT)  # fmt: skip
    session.add(document)
    session.flush()
    ann, bob, eve = (people.add(session, name, "reviewer", "tests").id for name in ("ann", "bob", "eve"))
    session.commit()
    return Asked(session, document.id, ann, bob, eve)


def predict(asked: Asked, *rows: tuple[int, str, str]) -> None:
    """Predictions (version, kind, label) of the same moment, written one after the other."""
    for version, kind, label in rows:
        asked.session.add(
            Prediction(document_id=asked.document, model_version_id=version, kind=kind, label_id=LABELS[label],
                       confidence=0.5, probabilities=[0.5, 0.3, 0.2], decision="review", created_at=MOMENT)
        )  # fmt: skip
        asked.session.flush()
    asked.session.commit()


def review(asked: Asked, *rows: Review) -> None:
    """Reviews of the same moment, written one after the other."""
    for row in rows:
        row.document_id, row.created_at = asked.document, MOMENT + timedelta(hours=1)
        asked.session.add(row)
        asked.session.flush()
    asked.session.commit()


def wait_for(asked: Asked, reason: str = "doubtful") -> None:
    queue_items.add(asked.session, [{"document_id": asked.document, "score": 0.1}], reason)


def leased(asked: Asked, hidden_share: float) -> queue_items.Leased:
    wait_for(asked)
    queue_items.lease(asked.session, [asked.document], asked.ann, 60, hidden_share)
    return queue_items.leased(asked.session, asked.ann, [asked.document])[0]


def name(label_id: object) -> str | None:
    return next((each for each, id_ in LABELS.items() if id_ == label_id), None)


def state(asked: Asked) -> document_state.DocumentState:
    found = document_state.document_state(asked.session, "mail", "m-1")
    assert found is not None
    return found


def sent_state(asked: Asked) -> document_state.DocumentState:
    return document_state.sent_states(asked.session, [Sent("mail", "m-1", HASH, "live", "1-0")])[0]


def row(asked: Asked) -> document_search.Found:
    return document_search.rows(asked.session, [asked.document])[0]


def labels_that(holds: Callable[[str], object], asked: Asked) -> str:
    """Names of the labels that something holds of, each asked by itself."""
    found = []
    for each in NAMES:
        if holds(each):
            found.append(each)
        asked.session.rollback()
    return ", ".join(found)


def found_by(asked: Asked, field: str) -> str:
    return labels_that(lambda label: document_search.count(asked.session, Filters(**{field: label}), 9), asked)


def confirmed(asked: Asked) -> str:
    """The label whose decision confirms what was predicted, where nothing was shown."""

    def is_confirmed(label: str) -> bool:
        decision = Decision(asked.document, leased(asked, 1.0).lease_token, "label", LABELS[label])
        return decisions.decide(asked.session, decision, asked.ann, Shares()).action == "confirm"

    return labels_that(is_confirmed, asked)


def known_upstream(asked: Asked) -> str:
    """The label that upstream is not told of, because it knows it."""

    def is_known(label: str) -> bool:
        upstream_decisions.add(asked.session, [Upstream(asked.document, "crm", label, None)])
        return not asked.scalar("SELECT count(*) FROM outbox")

    return labels_that(is_known, asked)


def looked_at(asked: Asked) -> str | None:
    return name(bulk_decisions.preview(asked.session, Filters(), None, asked.ann, {}).label_ids[0])


def flagged(asked: Asked) -> str | None:
    queue_items.flag(asked.session, asked.document, None)
    return name(asked.scalar("SELECT label_id FROM queue_items"))


def put_back(asked: Asked) -> str | None:
    item = {"document_id": asked.document, "reason": "doubtful", "sampling_probability": None}
    queue_items.put_back(asked.session, [item])
    return name(asked.scalar("SELECT label_id FROM queue_items"))


def scored_before(asked: Asked) -> str:
    queue_items.flag(asked.session, asked.document, None)
    return rescore.before(asked.session, 3, [asked.document])[asked.document].label


def disputed(asked: Asked) -> str | None:
    asked.session.execute(text("DELETE FROM predictions WHERE kind = 'shadow'"))
    shadow = shadows.start(asked.session, 3, 1.0, "tests")
    answer = {"document_id": asked.document, "label": LABELS[C], "confidence": 0.5, "probabilities": [0.5],
              "decision": "review", "windows": 1, "truncated": False, "margin": 0.1}  # fmt: skip
    shadows.store(asked.session, shadow, asked.document, orjson.dumps([answer]).decode())
    return name(asked.scalar("SELECT label_id FROM queue_items"))


def hidden_from_reviewers(asked: Asked) -> str | None:
    asked.session.add(
        Review(document_id=asked.document, reviewer_id=asked.ann, action="none_fits", reason="doubtful", lease_token=1)
    )
    asked.session.flush()
    return name(team.against_model(asked.session, team.EVER)[0].predicted_id)


def erased(asked: Asked) -> str | None:
    erasure.delete_documents(asked.session, [asked.document], "request")
    return name(asked.scalar("SELECT label_id FROM erased_counts"))


def kept_as(asked: Asked) -> str:
    def is_due(label: str) -> bool:
        retention.set_days(asked.session, label, 1)
        return bool(retention.due(asked.session, 0, asked.document, 0, True))

    return labels_that(is_due, asked)


def named_by_a_merge(asked: Asked) -> str | None:
    """What the version said that the event of a merge names."""
    upstream_decisions.add(asked.session, [Upstream(asked.document, "crm", C, None)])
    asked.session.execute(text("DELETE FROM outbox"))
    merge_labels.merge(asked.session, LABELS[C], LABELS[B], "tests")
    return name(asked.scalar("SELECT label_id FROM predictions JOIN outbox USING (document_id) "
                             "WHERE CAST(model_version_id AS text) = event ->> 'model_version'"))  # fmt: skip


PREDICTION_READERS: dict[str, Callable[[Asked], object]] = {
    "state": lambda asked: state(asked).label,
    "state of a request": lambda asked: sent_state(asked).label,
    "rows": lambda asked: row(asked).predicted,
    "search": lambda asked: found_by(asked, "predicted"),
    "history": lambda asked: name(
        next(each.label_id for each in history(asked.session, asked.document).predictions if each.kind != "shadow")
    ),
    "view of results": lambda asked: asked.scalar("SELECT predicted_label FROM results"),
    "bulk decision": looked_at,
    "decision": confirmed,
    "upstream's decision": known_upstream,
    "lease": lambda asked: name((leased(asked, 0.0).shown or {})["label_id"]),
    "desk": lambda asked: name(leased(asked, 0.0).label_id),
    "desk, hidden": lambda asked: name(leased(asked, 1.0).label_id),
    "flag": flagged,
    "undo": put_back,
    "re-scoring": scored_before,
    "shadow": disputed,
    "agreement with the model": hidden_from_reviewers,
    "erasure": erased,
    "retention": kept_as,
    "merge": named_by_a_merge,
}


def answered_again(asked: Asked) -> str:
    given = {"source": "mail", "id": "m-1", "hash": HASH, "text": TEXT, "repaired": False, "lane": "live",
             "entry_id": "2-0", "version": 1, "label": LABELS[C], "confidence": 0.9, "first": 0, "labels": 1,
             "decision": "accept", "windows": 1, "truncated": False, "margin": 0.8}  # fmt: skip
    known = intake.store_batch(asked.session, incoming([given]), np.ones(1, np.float32), intake.AuditShares(1e-12))
    stored = known["mail", "m-1", HASH]
    assert stored is not None
    return stored.label


LIVE_READERS: dict[str, Callable[[Asked], object]] = {
    "intake": answered_again,
    "source": lambda asked: predictions.of_source(asked.session, "mail")[0].label,
}


def answers(readers: dict[str, Callable[[Asked], object]], asked: Asked) -> dict[str, object]:
    found = {}
    for reader, ask in readers.items():
        found[reader] = ask(asked)
        asked.session.rollback()
    return found


@ORDERS
def test_of_two_live_predictions_the_later_versions_is_the_newest(asked: Asked, order: int) -> None:
    predict(asked, *[(1, "live", A), (2, "live", B), (3, "shadow", C)][::order])
    readers = {**PREDICTION_READERS, **LIVE_READERS}
    assert answers(readers, asked) == dict.fromkeys(readers, B)


@ORDERS
def test_a_rescore_by_a_later_version_is_newer_than_the_live_prediction(asked: Asked, order: int) -> None:
    predict(asked, *[(1, "live", A), (2, "rescore", B), (3, "shadow", C)][::order])
    assert answers(PREDICTION_READERS, asked) == dict.fromkeys(PREDICTION_READERS, B)


def what_happened(asked: Asked) -> str:
    said = decisions.what_happened(asked.session, asked.document)
    return said.partition(" decided ")[2].partition(" at ")[0]


def stands_for_bulk(asked: Asked) -> str:
    return str(bulk_decisions._locked(asked.session, [asked.document])[0].decided_label)


def imported_again(asked: Asked) -> str:
    """The label with which a file of our own export changes nothing."""

    def is_known(label: str) -> bool:
        given = {"source": "mail", "id": "m-1", "hash": HASH, "text": TEXT, "repaired": False, "label": label}
        return labelled.import_examples(asked.session, orjson.dumps([given]).decode(), [label], own=True) == (0, 0)

    return labels_that(is_known, asked)


def right_in_audits(asked: Asked) -> str:
    """The predicted label that audits found right."""

    def is_right(label: str) -> int:
        asked.session.execute(text("UPDATE predictions SET label_id = :id WHERE kind = 'live'"), {"id": LABELS[label]})
        return sum(each.right for each in live_accuracy.audited(asked.session, MOMENT, datetime.now(UTC)))

    return labels_that(is_right, asked)


def right_in_shadows(asked: Asked) -> str:
    """The label with which a shadow wins over the line, which says another."""

    def wins(label: str) -> int:
        asked.session.execute(
            text("UPDATE predictions SET label_id = CASE WHEN kind = 'shadow' THEN :id ELSE 1 + :id % 3 END"),
            {"id": LABELS[label]},
        )
        return shadows.evidence(asked.session, 3).shadow

    return labels_that(wins, asked)


def renamed_by_merges(asked: Asked) -> str:
    """The label whose merge changes what upstream knows."""

    def is_told(label: str) -> int:
        into = asked.session.scalar(text("INSERT INTO labels (name) VALUES ('other') RETURNING id"))
        return merge_labels.merge(asked.session, LABELS[label], int(into or 0), "tests").events

    return labels_that(is_told, asked)


DECISION_READERS: dict[str, Callable[[Asked], object]] = {
    "state": lambda asked: (state(asked).review or {})["label"],
    "state of a request": lambda asked: (sent_state(asked).review or {})["label"],
    "rows": lambda asked: row(asked).decided,
    "search": lambda asked: found_by(asked, "decided"),
    "what happened": what_happened,
    "bulk decision": stands_for_bulk,
    "view of decisions": lambda asked: asked.scalar("SELECT label FROM standing_decisions"),
    "view of results": lambda asked: asked.scalar("SELECT label FROM results"),
    "upstream's decision": known_upstream,
    "training": lambda asked: labelled.labelled_documents(asked.session)[0].label,
    "import": imported_again,
    "audits": right_in_audits,
    "shadow": right_in_shadows,
    "erasure": erased,
    "retention": kept_as,
    "merge": renamed_by_merges,
}


def votes_on(asked: Asked, reviewers: Sequence[int]) -> list[Review]:
    """A decision for the first label, one for the second, and one for the third that is undone."""
    shared = {"reason": "overlap", "sampling_probability": 0.5}
    return [
        Review(id=10, reviewer_id=reviewers[0], action="correct", label_id=LABELS[A], lease_token=10, **shared),
        Review(id=11, reviewer_id=reviewers[1], action="correct", label_id=LABELS[B], lease_token=11, **shared),
        Review(id=12, reviewer_id=reviewers[2], action="correct", label_id=LABELS[C], lease_token=12, **shared),
    ]


def undo_last(asked: Asked) -> None:
    review(asked, Review(id=13, reviewer_id=asked.eve, action="undo", reason="overlap", supersedes_id=12))


@ORDERS
def test_of_two_peoples_decisions_the_one_made_last_stands(asked: Asked, order: int) -> None:
    predict(asked, (1, "live", C), (3, "shadow", C))
    review(asked, *votes_on(asked, [asked.ann, asked.bob, asked.eve])[::order])
    undo_last(asked)
    assert answers(DECISION_READERS, asked) == dict.fromkeys(DECISION_READERS, B)


@ORDERS
def test_of_one_persons_decisions_the_one_made_last_stands(asked: Asked, order: int) -> None:
    predict(asked, (1, "live", C), (3, "shadow", C))
    review(asked, *votes_on(asked, [asked.ann, asked.ann, asked.eve])[::order])
    undo_last(asked)
    readers = {
        **DECISION_READERS,
        "agreement of people": lambda asked: name(team.decided_twice(asked.session, team.EVER, 9)[0].label_id),
    }
    assert answers(readers, asked) == dict.fromkeys(readers, B)


TEXT_READERS: dict[str, Callable[[Asked], object]] = {
    "state": lambda asked: state(asked).label,
    "id": lambda asked: name(document_state.document_id(asked.session, "mail", "m-1")),
    "search": lambda asked: found_by(asked, "predicted"),
    "history": lambda asked: name(history(asked.session, LABELS[A]).texts[0].id),
    "view of results": lambda asked: asked.scalar("SELECT predicted_label FROM results"),
    "source": lambda asked: predictions.of_source(asked.session, "mail")[0].label,
}


@ORDERS
def test_of_two_texts_with_one_entry_id_the_later_row_has_the_newest(asked: Asked, order: int) -> None:
    """Each lane counts its entries for itself. The rows have the ids of the labels that are predicted for them."""
    asked.session.execute(text("DELETE FROM documents"))
    for label, lane in [(A, "live"), (B, "bulk")][::order]:
        row = Document(id=LABELS[label], source="mail", external_id="m-1", content_hash=label.encode(), text=label,
                       lane=lane, entry_id="5-0")  # fmt: skip
        asked.session.add(row)
        asked.session.flush()
        predict(asked._replace(document=row.id), (1, "live", label))
    assert answers(TEXT_READERS, asked) == dict.fromkeys(TEXT_READERS, B)
