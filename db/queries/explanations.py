"""Queries on explanations: the web requests them, and a worker computes each once.

The rows are the requests; a Celery message only makes a worker check them. So a message that comes twice computes
nothing twice, and a lost message loses no request.

What is explained is the form of the version that answered. An int8 form has no gradients; its float32 weights, from
which it was rounded, are those of another form, which is explained in its place. Where a revision of the version's last
layer answered, that layer is explained.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

_ROUNDED_FROM = {"int8": "whole", "student-int8": "student"}
_KEY = """document_id = :document_id AND explanations.model_version_id = :version_id AND label_id = :label_id
  AND explanations.form = :form AND explanations.revision = :revision"""
# Of a prediction; those that were made before forms were noted came from whole models or their int8.
_EXPLAINED_FORM = "CASE predictions.form {} ELSE coalesce(predictions.form, 'whole') END".format(
    " ".join(f"WHEN '{rounded}' THEN '{exact}'" for rounded, exact in _ROUNDED_FROM.items())
)
# Requested again: explanations that failed a while ago, that no worker took in time, or that a worker never finished.
_ASK = text("""
INSERT INTO explanations (document_id, model_version_id, label_id, form, revision)
SELECT id, :version_id, :label_id, :form, :revision FROM documents WHERE id = :document_id
ON CONFLICT (document_id, model_version_id, label_id, form, revision)
DO UPDATE SET state = 'waiting', error = NULL, asked_at = now(), started_at = NULL
WHERE (explanations.state = 'failed' AND explanations.finished_at < now() - make_interval(secs => :again_s))
  OR (explanations.state = 'waiting' AND explanations.asked_at < now() - make_interval(secs => :again_s))
  OR (explanations.state = 'running' AND explanations.started_at < now() - make_interval(secs => :lost_s))
RETURNING true
""")
_GET = text(f"SELECT state, found, completeness_error, error FROM explanations WHERE {_KEY}")  # noqa: S608 - constants
# Float32 weights are in the checkpoints of the whole model and of a student.
_CLAIM = text(f"""
UPDATE explanations SET state = 'running', started_at = now()
FROM documents, model_versions LEFT JOIN LATERAL (
  SELECT uri, sha256 FROM model_forms
  WHERE model_forms.model_version_id = model_versions.id AND name = :form AND uri IS NOT NULL) forms ON :form <> 'whole'
WHERE {_KEY} AND explanations.state = 'waiting' AND documents.id = document_id
  AND model_versions.id = explanations.model_version_id
RETURNING documents.text, CASE WHEN :form = 'whole' THEN checkpoint_uri ELSE forms.uri END,
  CASE WHEN :form = 'whole' THEN model_versions.sha256 ELSE forms.sha256 END
""")  # noqa: S608 - of constants alone
_FINISH = text(f"""
UPDATE explanations SET state = CASE WHEN CAST(:error AS text) IS NULL THEN 'done' ELSE 'failed' END,
  found = CAST(:found AS jsonb), completeness_error = :completeness_error, error = :error, finished_at = now()
WHERE {_KEY} AND state = 'running'
""")  # noqa: S608 - of constants alone
# Only among the newest documents: a rare label may have none among very many.
_ASK_SAMPLE = text(f"""
INSERT INTO explanations (document_id, model_version_id, label_id, form, revision)
SELECT document_id, :version_id, :label_id, {_EXPLAINED_FORM}, coalesce(predictions.revision, 0) FROM predictions
JOIN (SELECT id FROM documents ORDER BY id DESC LIMIT 20000) recent ON recent.id = document_id
WHERE model_version_id = :version_id AND label_id = :label_id AND kind <> 'shadow'
GROUP BY document_id, 4, 5 ORDER BY document_id DESC LIMIT :limit
ON CONFLICT (document_id, model_version_id, label_id, form, revision)
DO UPDATE SET state = 'waiting', error = NULL, asked_at = now(), started_at = NULL
WHERE explanations.state IN ('failed', 'waiting')
  OR (explanations.state = 'running' AND explanations.started_at < now() - make_interval(secs => :lost_s))
""")  # noqa: S608 - of constants alone
_NEXT = text("""
SELECT document_id, model_version_id, label_id, form, revision FROM explanations
WHERE state = 'waiting' ORDER BY asked_at LIMIT 1
""")
_UNTAKEN = text("""
SELECT EXISTS (SELECT FROM explanations WHERE state = 'waiting' AND asked_at < now() - make_interval(secs => :since_s))
""")
_COUNTS = text("""
SELECT state, count(*) FROM explanations WHERE model_version_id = :version_id AND label_id = :label_id GROUP BY state
""")
_OF_LABEL = text(f"""
SELECT left(text, :chars), found, completeness_error, explanations.form
FROM explanations JOIN documents ON documents.id = document_id
WHERE model_version_id = :version_id AND explanations.label_id = :label_id AND state = 'done' AND EXISTS (
  SELECT FROM predictions WHERE predictions.document_id = explanations.document_id AND kind <> 'shadow'
  AND predictions.model_version_id = :version_id AND predictions.label_id = :label_id
  AND {_EXPLAINED_FORM} = explanations.form AND coalesce(predictions.revision, 0) = explanations.revision)
ORDER BY document_id DESC LIMIT :limit
""")  # noqa: S608 - of constants alone


class Key(NamedTuple):
    """What is explained: a document, by a form of a model version that has gradients, for a label.

    ``revision``: of the version's last layer; 0: the checkpoint's own.
    """

    document_id: int
    version_id: int
    label_id: int
    form: str
    revision: int = 0


class State(NamedTuple):
    """State of an explanation: waiting, running, done (with ``found``) or failed (with ``error``)."""

    state: str
    found: dict[str, Any] | None
    completeness_error: float | None
    error: str | None


class Claimed(NamedTuple):
    """What a worker needs to compute an explanation; without a checkpoint, the version lacks the form."""

    text: str
    checkpoint_uri: str | None
    sha256: str | None


class Explained(NamedTuple):
    """An explanation, the beginning of its document's text, and the form that is explained."""

    text: str
    found: dict[str, Any]
    completeness_error: float
    form: str


def explained_form(answered: str | None) -> str:
    """The form that is explained where this one answered: the same weights, before they were rounded.

    Args:
        answered: the prediction's; None: made before forms were noted, by the whole model or its int8.
    """
    return "whole" if answered is None else _ROUNDED_FROM.get(answered, answered)


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
    """The newest explanations of a version's label, each with the first ``chars`` characters of its text.

    Each is of the form and revision that gave the document this label; explanations of others are left out.
    """
    asked = {"version_id": version_id, "label_id": label_id, "limit": limit, "chars": chars}
    return [Explained(*row) for row in session.execute(_OF_LABEL, asked)]
