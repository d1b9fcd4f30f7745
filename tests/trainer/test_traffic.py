"""Which traffic shows what a form loses: what came since the training, each text once."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from classifier.figures import SnapshotCounts
from db.models import Document
from db.queries.labelled import Labelled
from trainer.data.traffic import unseen_traffic
from trainer.data.training_data import TrainingData

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_it_is_what_came_since_each_text_once_without_the_trainings(session: Session) -> None:
    add(session, "too early", NOW - timedelta(days=1), "1-0")
    add(session, "an import", NOW, None)
    for number, text in enumerate(["second", "learned", "first", "second"]):
        add(session, text, NOW + timedelta(seconds=number), f"{number + 2}-0")
    learned = Labelled(1, "learned", b"x", 1, "card", True, 1, "train")
    data = TrainingData([learned], [], [], [], [], labels=[(1, "card")], counts=SnapshotCounts())

    found = unseen_traffic(session, NOW, data)

    assert (found.texts, found.documents) == (
        ["second", "first"],
        4,
    )  # all that were looked at count, or it would be looked at for ever


def add(session: Session, text: str, received_at: datetime, entry_id: str | None) -> None:
    count = session.query(Document).count()
    session.add(
        Document(source="mail", external_id=str(count), content_hash=bytes([count]), text=text, lane="live",
                 entry_id=entry_id, received_at=received_at)
    )  # fmt: skip
    session.flush()
