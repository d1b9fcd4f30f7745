"""Queries on explanations: the web requests them, and a worker computes each once.

The rows are the requests; a Celery message only makes a worker check them. So a message that comes twice computes
nothing twice, and a lost message loses no request.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

_KEY = "document_id = :document_id AND model_version_id = :version_id AND label_id = :label_id"
# Requested again: explanations that failed a while ago, that no worker took in time, or that a worker never finished.
_ASK = text("""
INSERT INTO explanations (document_id, model_version_id, label_id)
SELECT id, :version_id, :label_id FROM documents WHERE id = :document_id
ON CONFLICT (document_id, model_version_id, label_id)
DO UPDATE SET state = 'waiting', error = NULL, asked_at = now(), started_at = NULL
WHERE (explanations.state = 'failed' AND explanations.finished_at < now() - make_interval(secs => :again_s))
  OR (explanations.state = 'waiting' AND explanations.asked_at < now() - make_interval(secs => :again_s))
  OR (explanations.state = 'running' AND explanations.started_at < now() - make_interval(secs => :lost_s))
RETURNING true
""")
_GET = text(f"SELECT state, found, completeness_error, error FROM explanations WHERE {_KEY}")  # noqa: S608 - constants
_CLAIM = text(f"""
UPDATE explanations SET state = 'running', started_at = now() FROM documents, model_versions
WHERE {_KEY} AND state = 'waiting' AND documents.id = document_id AND model_versions.id = model_version_id
RETURNING documents.text, checkpoint_uri, sha256
""")  # noqa: S608 - of constants alone
_FINISH = text(f"""
UPDATE explanations SET state = CASE WHEN CAST(:error AS text) IS NULL THEN 'done' ELSE 'failed' END,
  found = CAST(:found AS jsonb), completeness_error = :completeness_error, error = :error, finished_at = now()
WHERE {_KEY} AND state = 'running'
""")  # noqa: S608 - of constants alone
# Only among the newest documents: a rare label may have none among very many.
_ASK_SAMPLE = text("""
INSERT INTO explanations (document_id, model_version_id, label_id)
SELECT document_id, :version_id, :label_id FROM predictions
JOIN (SELECT id FROM documents ORDER BY id DESC LIMIT 20000) recent ON recent.id = document_id
WHERE model_version_id = :version_id AND label_id = :label_id AND kind <> 'shadow'
GROUP BY document_id ORDER BY document_id DESC LIMIT :limit
ON CONFLICT (document_id, model_version_id, label_id)
DO UPDATE SET state = 'waiting', error = NULL, asked_at = now(), started_at = NULL
WHERE explanations.state IN ('failed', 'waiting')
  OR (explanations.state = 'running' AND explanations.started_at < now() - make_interval(secs => :lost_s))
""")
_NEXT = text("""
SELECT document_id, model_version_id, label_id FROM explanations WHERE state = 'waiting' ORDER BY asked_at LIMIT 1
""")
_UNTAKEN = text("""
SELECT EXISTS (SELECT FROM explanations WHERE state = 'waiting' AND asked_at < now() - make_interval(secs => :since_s))
""")
_COUNTS = text("""
SELECT state, count(*) FROM explanations WHERE model_version_id = :version_id AND label_id = :label_id GROUP BY state
""")
_OF_LABEL = text("""
SELECT left(text, :chars), found, completeness_error FROM explanations JOIN documents ON documents.id = document_id
WHERE model_version_id = :version_id AND explanations.label_id = :label_id AND state = 'done' AND EXISTS (
  SELECT FROM predictions WHERE predictions.document_id = explanations.document_id AND kind <> 'shadow'
  AND predictions.model_version_id = :version_id AND predictions.label_id = :label_id)
ORDER BY document_id DESC LIMIT :limit
""")


class Key(NamedTuple):
    """What is explained: a document, by a model version, for a label."""

    document_id: int
    version_id: int
    label_id: int


class State(NamedTuple):
    """State of an explanation: waiting, running, done (with ``found``) or failed (with ``error``)."""

    state: str
    found: dict[str, Any] | None
    completeness_error: float | None
    error: str | None


class Claimed(NamedTuple):
    """What a worker needs to compute an explanation."""

    text: str
    checkpoint_uri: str
    sha256: str


class Explained(NamedTuple):
    """An explanation, and the beginning of its document's text."""

    text: str
    found: dict[str, Any]
    completeness_error: float


def ask(session: Session, key: Key, again_s: float, lost_s: float) -> bool:
    """Request an explanation; returns whether a message must be sent to a worker.

    Args:
        again_s: seconds after which an explanation that failed, or that no worker took, is requested again.
        lost_s: seconds after which an explanation that a worker took counts as lost.
    """
    return bool(session.scalar(_ASK, {**key._asdict(), "again_s": again_s, "lost_s": lost_s}))


def get(session: Session, key: Key) -> State | None:
    """State of an explanation; None: nobody has requested it, or its document was erased."""
    row = session.execute(_GET, key._asdict()).one_or_none()
    return None if row is None else State(*row)


def claim(session: Session, key: Key) -> Claimed | None:
    """Take a waiting explanation; None: another worker has it, it is done, or its document or version is gone."""
    row = session.execute(_CLAIM, key._asdict()).one_or_none()
    return None if row is None else Claimed(*row)


def finish(session: Session, key: Key, found: dict[str, Any], completeness_error: float) -> None:
    """Store an explanation; does nothing if the document was erased meanwhile."""
    outcome = {"found": orjson.dumps(found).decode(), "completeness_error": completeness_error, "error": None}
    session.execute(_FINISH, {**key._asdict(), **outcome})


def fail(session: Session, key: Key, error: str) -> None:
    """Store why the explanation failed."""
    session.execute(_FINISH, {**key._asdict(), "found": None, "completeness_error": None, "error": error})


def ask_sample(session: Session, version_id: int, label_id: int, limit: int, lost_s: float) -> None:
    """Request explanations of the newest documents to which a version gave a label, at most ``limit``."""
    asked = {"version_id": version_id, "label_id": label_id, "limit": limit, "lost_s": lost_s}
    session.execute(_ASK_SAMPLE, asked)


def next_waiting(session: Session) -> Key | None:
    """The oldest request that is waiting; None: there is none."""
    row = session.execute(_NEXT).one_or_none()
    return None if row is None else Key(*row)


def untaken(session: Session, since_s: float) -> bool:
    """Whether any request has waited for a worker for ``since_s`` seconds or longer."""
    return bool(session.scalar(_UNTAKEN, {"since_s": since_s}))


def counts(session: Session, version_id: int, label_id: int) -> dict[str, int]:
    """Numbers of a label's explanations, by state."""
    return dict(session.execute(_COUNTS, {"version_id": version_id, "label_id": label_id}).tuples().all())


def of_label(session: Session, version_id: int, label_id: int, limit: int, chars: int) -> Sequence[Explained]:
    """The newest explanations of a version's label, each with the first ``chars`` characters of its text."""
    asked = {"version_id": version_id, "label_id": label_id, "limit": limit, "chars": chars}
    return [Explained(*row) for row in session.execute(_OF_LABEL, asked)]
