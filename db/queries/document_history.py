"""Everything that happened to one document: texts, predictions, decisions, dead letters and events.

Lists that could be long have at most the newest 200 rows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.queries.standing import NEWEST_PREDICTION_FIRST, NEWEST_TEXT_FIRST, stands
from sortline.errors import NotFoundError

_MOST = 200

_DOCUMENT = text("SELECT * FROM documents WHERE id = :id")
_TEXTS = text(f"""
SELECT id, received_at, lane, entry_id, repaired, left(text, 120) AS text, octet_length(text) AS bytes
FROM documents WHERE source = :source AND external_id = :external_id
ORDER BY {NEWEST_TEXT_FIRST} LIMIT {_MOST}
""")  # noqa: S608 - of constants alone
_PREDICTIONS = text(f"""
SELECT predictions.*, label_ids FROM predictions LEFT JOIN model_versions ON model_versions.id = model_version_id
WHERE document_id = :id ORDER BY {NEWEST_PREDICTION_FIRST} LIMIT {_MOST}
""")  # noqa: S608 - of constants alone
_REVIEWS = text(f"""
SELECT reviews.*, users.name AS reviewer, labels.name AS label,
  NOT {stands()} AS superseded,
  EXISTS (SELECT FROM reviews later WHERE later.supersedes_id = reviews.id AND later.action = 'undo') AS undone
FROM reviews JOIN users ON users.id = reviewer_id LEFT JOIN labels ON labels.id = label_id
WHERE document_id = :id ORDER BY reviews.id DESC LIMIT {_MOST}
""")  # noqa: S608 - of constants alone
_ITEM = text("""
SELECT queue_items.*, users.name AS holder FROM queue_items
LEFT JOIN users ON users.id = leased_to AND lease_until > now() WHERE document_id = :id
""")
_DEAD = text(f"""
SELECT lane, entry_id, reason, detail, attempts, created_at, requeued_at FROM dead_letters
WHERE source = :source AND external_id = :external_id ORDER BY id DESC LIMIT {_MOST}
""")  # noqa: S608 - of constants alone
_EVENTS = text(f"""
SELECT event, created_at, sent_at, attempts FROM outbox WHERE document_id = :id ORDER BY id DESC LIMIT {_MOST}
""")  # noqa: S608 - of constants alone


class History(NamedTuple):
    """A document's row and all that belongs to it; lists have the newest first.

    ``texts``: all its versions, including this one; ``item``: its queue item, None if it waits for nobody; ``dead``:
    dead letters with its source and external id; ``events``: its `corrected` and `rescored` events in the outbox.
    """

    document: Row[Any]
    texts: Sequence[Row[Any]]
    predictions: Sequence[Row[Any]]
    reviews: Sequence[Row[Any]]
    item: Row[Any] | None
    dead: Sequence[Row[Any]]
    events: Sequence[Row[Any]]


def history(session: Session, document_id: int) -> History:
    """What happened to a document.

    Raises:
        NotFoundError: there is no document with this id.
    """
    document = session.execute(_DOCUMENT, {"id": document_id}).one_or_none()
    if document is None:
        raise NotFoundError("there is no such document")
    asked = {"id": document_id, "source": document.source, "external_id": document.external_id}
    texts, predictions, reviews, dead, events = (
        session.execute(query, asked).all() for query in (_TEXTS, _PREDICTIONS, _REVIEWS, _DEAD, _EVENTS)
    )
    item = session.execute(_ITEM, asked).one_or_none()
    return History(document, texts, predictions, reviews, item, dead, events)
