"""Queries on explanations: asked for by the web, computed by a worker, each once.

The rows are what is to be done; a Celery message only tells a worker to look. So nothing is computed twice because a
message came twice, and nothing is lost because one did not come.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

_KEY = "document_id = :document_id AND model_version_id = :version_id AND label_id = :label_id"
# Asked for anew: what failed a while ago, what no worker took in time, and what one took and never finished.
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
# Among the newest documents alone: of a rare label there may be none, and many documents.
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
    """How far an explanation is: waiting, running, done (``found``) or failed (``error``)."""

    state: str
    found: dict[str, Any] | None
    completeness_error: float | None
    error: str | None


class Claimed(NamedTuple):
    """What a worker needs to explain."""

    text: str
    checkpoint_uri: str
    sha256: str


class Explained(NamedTuple):
    """An explanation and the beginning of its document's text."""

    text: str
    found: dict[str, Any]
    completeness_error: float


def ask(session: Session, key: Key, again_s: float, lost_s: float) -> bool:
    """Let an explanation wait for a worker; says whether one has to be told.

    Args:
        again_s: seconds after which what failed, or was never taken, is asked for anew.
        lost_s: seconds after which what a worker took counts as lost.
    """
    return bool(session.scalar(_ASK, {**key._asdict(), "again_s": again_s, "lost_s": lost_s}))


def get(session: Session, key: Key) -> State | None:
    """How far an explanation is; None: nobody asked for it, or its document is gone."""
    row = session.execute(_GET, key._asdict()).one_or_none()
    return None if row is None else State(*row)


def claim(session: Session, key: Key) -> Claimed | None:
    """Take what waits; None: another worker has it, it is done, or its document or version is gone."""
    row = session.execute(_CLAIM, key._asdict()).one_or_none()
    return None if row is None else Claimed(*row)


def finish(session: Session, key: Key, found: dict[str, Any], completeness_error: float) -> None:
    """Store what was found; where the document was erased meanwhile, nothing."""
    said = {"found": orjson.dumps(found).decode(), "completeness_error": completeness_error, "error": None}
    session.execute(_FINISH, {**key._asdict(), **said})


def fail(session: Session, key: Key, error: str) -> None:
    """Store why there is no explanation."""
    session.execute(_FINISH, {**key._asdict(), "found": None, "completeness_error": None, "error": error})


def ask_sample(session: Session, version_id: int, label_id: int, limit: int, lost_s: float) -> None:
    """Let the newest documents that a version gave a label wait for a worker, at most ``limit``."""
    asked = {"version_id": version_id, "label_id": label_id, "limit": limit, "lost_s": lost_s}
    session.execute(_ASK_SAMPLE, asked)


def next_waiting(session: Session) -> Key | None:
    """What was asked for first of all that waits."""
    row = session.execute(_NEXT).one_or_none()
    return None if row is None else Key(*row)


def untaken(session: Session, since_s: float) -> bool:
    """Whether any has waited for a worker for ``since_s`` seconds and longer."""
    return bool(session.scalar(_UNTAKEN, {"since_s": since_s}))


def counts(session: Session, version_id: int, label_id: int) -> dict[str, int]:
    """How many explanations of a label there are, by state."""
    return dict(session.execute(_COUNTS, {"version_id": version_id, "label_id": label_id}).tuples().all())


def of_label(session: Session, version_id: int, label_id: int, limit: int, chars: int) -> Sequence[Explained]:
    """The newest explanations of documents that a version gave a label, for that label, with so much of their texts."""
    asked = {"version_id": version_id, "label_id": label_id, "limit": limit, "chars": chars}
    return [Explained(*row) for row in session.execute(_OF_LABEL, asked)]
