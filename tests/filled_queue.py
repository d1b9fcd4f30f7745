"""Documents that wait for a person, as the worker would have stored them."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import Document, Label, ModelVersion, Prediction, QueueItem
from db.queries.search_index import index_batch

WORDS = [
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "echo",
    "foxtrot",
    "golf",
    "hotel",
    "india",
    "juliet",
    "kilo",
    "lima",
    "mike",
    "november",
    "oscar",
    "papa",
]
NAMES = ("card arrival", "cash withdrawal", "exchange rate")


def add_labels(session: Session, names: Sequence[str] = NAMES) -> list[Label]:
    session.add_all([Label(name=name, description=f"All on {name}.") for name in names])
    session.flush()
    session.add(
        ModelVersion(
            status="active", checkpoint_uri="nowhere", sha256="0", base_model="tiny",
            label_ids=list(session.scalars(select(Label.id).order_by(Label.id))),
        )
    )  # fmt: skip
    session.commit()
    return list(session.scalars(select(Label).order_by(Label.id)))


def add_document(
    session: Session,
    text: str,
    reason: str | None = "doubtful",
    probabilities: Sequence[float] = (0.5, 0.3, 0.2),
    sampling_probability: float | None = None,
    source: str = "mail",
    name: str = "",
    form: str | None = None,
) -> int:
    """A classified document, which waits for a person if there is a reason; returns its id."""
    version = session.scalars(select(ModelVersion).where(ModelVersion.status == "active")).one()
    count = session.query(Document).count()
    document = Document(
        source=source, external_id=name or f"doc-{count}", content_hash=hashlib.sha256(text.encode()).digest(),
        text=text, lane="live", entry_id=f"{count + 1}-0",
    )  # fmt: skip
    session.add(document)
    session.flush()
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    label_id = version.label_ids[best]
    session.add(
        Prediction(
            document_id=document.id, model_version_id=version.id, kind="live", label_id=label_id,
            confidence=probabilities[best], probabilities=list(probabilities),
            decision="review" if reason else "accept", form=form,
        )
    )  # fmt: skip
    if reason:
        top = sorted(probabilities)
        session.add(
            QueueItem(
                document_id=document.id, reason=reason, score=top[-1] - top[-2], model_version_id=version.id,
                label_id=label_id, sampling_probability=sampling_probability,
            )
        )  # fmt: skip
    session.commit()
    return document.id


def index_all(session: Session) -> int:
    """Enter all documents into the search index, as housekeeping does; returns how many they were."""
    indexed = 0
    while count := index_batch(session):
        indexed += count
        session.commit()
    session.commit()
    return indexed


def unlike(i: int) -> str:
    """A text that is unlike those of other numbers."""
    return " ".join(WORDS[(i * 7 + j * j) % len(WORDS)] + str(i * 31 + j) for j in range(6))


def add_many(session: Session, count: int, analysed: bool = True) -> None:
    """As many dead letters, and documents that wait as doubtful; nothing is predicted of them."""
    session.execute(
        text("""
        INSERT INTO documents (source, external_id, content_hash, text, lane)
        SELECT 'many', i, sha256(CAST(CAST(i AS text) AS bytea)), 'card', 'bulk' FROM generate_series(1, :count) i
        """),
        {"count": count},
    )
    session.execute(
        text("INSERT INTO queue_items (document_id, reason, score) SELECT id, 'doubtful', 0 FROM documents")
    )
    session.execute(
        text("""
        INSERT INTO dead_letters (lane, entry_id, reason, detail, raw, attempts)
        SELECT 'bulk', i || '-0', 'failed', 'made', '', 5 FROM generate_series(1, :count) i
        """),
        {"count": count},
    )
    for table in ("queue_items", "dead_letters") if analysed else ():
        session.execute(text(f"ANALYZE {table}"))
    session.commit()
