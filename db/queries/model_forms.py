"""Queries on model_forms: what a version can serve as, and which form serves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from db import locks
from db.locks import Lock
from db.models import AuditEvent, ModelForm, ModelVersion
from db.queries import model_versions, redecisions
from db.queries.standing import standing_decision
from sortline.errors import ConflictError, NotFoundError

WHOLE = "whole"
# Documents of traffic before which forms are not compared, and after which no more are looked at.
LEAST_TRAFFIC, MOST_TRAFFIC = 300, 5_000

# The form that served before the present one did.
_BEFORE = text("""
SELECT detail->>'before' FROM audit_events
WHERE action = 'serve_form' AND subject = :subject AND detail->>'form' = :form ORDER BY id DESC LIMIT 1
""")


_CHOSEN = text("""
SELECT EXISTS (SELECT FROM audit_events WHERE action = 'serve_form' AND subject = :subject AND actor <> 'trainer')
""")
# Drawn disagreements of a form are all decided, and the form was not judged by them yet.
_DECIDED = f"""
  (figures->'verdict'->>'missing')::integer > 0 AND NOT EXISTS (
    SELECT FROM form_draws WHERE form_draws.model_version_id = version.id AND form_draws.name = model_forms.name
    AND NOT EXISTS (SELECT FROM {standing_decision("form_draws.document_id")} decided))
"""  # noqa: S608 - of constants alone
# The active version if it was trained here and lacks a form that can be made now: int8 at once, a student when traffic
# can judge it. Or if a form can be judged: int8 when a quarter more has come, a student when all that is looked at has
# come, and again when people have decided all that were drawn of it.
_DUE = text(f"""
SELECT version.id FROM model_versions version
JOIN training_runs ON training_runs.model_version_id = version.id
JOIN snapshots ON snapshots.id = snapshot_id
CROSS JOIN LATERAL (
  SELECT count(*) AS documents FROM (
    SELECT FROM documents WHERE received_at >= snapshots.created_at AND entry_id IS NOT NULL LIMIT :most) came) traffic
WHERE version.status = 'active' AND (
  NOT EXISTS (SELECT FROM model_forms WHERE model_version_id = version.id AND name = 'int8')
  OR :students AND traffic.documents >= :most
    AND NOT EXISTS (SELECT FROM model_forms WHERE model_version_id = version.id AND name = 'student')
  OR EXISTS (
    SELECT FROM model_forms
    CROSS JOIN LATERAL (SELECT coalesce((figures->>'traffic')::integer, 0) AS seen) before
    WHERE model_version_id = version.id AND state = 'unproved' AND CASE
      WHEN name = 'int8' THEN seen < :most AND traffic.documents >= greatest(:least, seen + seen / 4)
      WHEN seen < :most THEN traffic.documents >= :most ELSE {_DECIDED} END))
""")  # noqa: S608 - of constants alone
_TRAFFIC = text("""
SELECT id, text FROM documents WHERE received_at >= :since AND entry_id IS NOT NULL
ORDER BY received_at, id LIMIT :count
""")
_OTHER_TEXTS = text("""
(SELECT text FROM documents WHERE received_at < :since AND entry_id IS NOT NULL ORDER BY received_at DESC, id DESC
 LIMIT :count)
UNION ALL
(SELECT text FROM documents WHERE received_at >= :since AND entry_id IS NOT NULL ORDER BY received_at, id
 OFFSET :most LIMIT :count)
""")


class Sealed(NamedTuple):
    """The checkpoint of a form."""

    name: str
    uri: str
    sha256: str


def add(session: Session, version_id: int, name: str, state: str, *, uri: str | None = None, sha256: str | None = None,
        figures: dict[str, Any] | None = None) -> None:  # fmt: skip
    """Store a form of a version, in place of what was known of it before.

    Args:
        state: proved, unproved, refused, or missing for one that could not be made.
    """
    session.merge(
        ModelForm(
            model_version_id=version_id, name=name, state=state, uri=uri, sha256=sha256, figures=figures or {}
        )
    )  # fmt: skip
    session.flush()


def of_version(session: Session, version_id: int) -> Sequence[ModelForm]:
    """The forms of a version, in the order of their names."""
    return session.scalars(
        select(ModelForm).where(ModelForm.model_version_id == version_id).order_by(ModelForm.name)
    ).all()


def of_versions(session: Session, version_ids: Sequence[int]) -> Sequence[ModelForm]:
    """The forms of these versions, by version and name."""
    return session.scalars(
        select(ModelForm)
        .where(ModelForm.model_version_id.in_(version_ids))
        .order_by(ModelForm.model_version_id, ModelForm.name)
    ).all()


def get(session: Session, version_id: int, name: str) -> ModelForm:
    """One form.

    Raises:
        NotFoundError: the version has no such form.
    """
    form = session.get(ModelForm, (version_id, name))
    if form is None:
        raise NotFoundError(f"model version {version_id} has no form {name!r}")
    return form


def sealed(session: Session, version: ModelVersion, name: str) -> Sealed:
    """The checkpoint of a form; that of the version itself if the version lacks the form."""
    form = session.get(ModelForm, (version.id, name))
    if form is None or form.uri is None or form.sha256 is None:
        return Sealed(WHOLE, version.checkpoint_uri, version.sha256)
    return Sealed(form.name, form.uri, form.sha256)


def figures(session: Session, version: ModelVersion, name: str) -> dict[str, Any]:
    """A version's figures with those of one of its forms in place of the whole model's."""
    form = session.get(ModelForm, (version.id, name))
    return version.metrics | (form.figures if form else {})


def served_figures(session: Session, version: ModelVersion) -> dict[str, Any]:
    """A version's figures, with those of the form that serves."""
    return figures(session, version, version.form)


def hold(session: Session) -> None:
    """Let nobody else change forms or promote until this transaction ends."""
    locks.hold(session, Lock.PROMOTION)


def traffic(session: Session, since: datetime, count: int) -> list[tuple[int, str]]:
    """The first documents (id, text) that came by the queue since then, at most ``count``, in the order they came."""
    return [(row.id, row.text) for row in session.execute(_TRAFFIC, {"since": since, "count": count})]


def other_texts(session: Session, since: datetime, count: int) -> list[str]:
    """Texts that came by the queue but are not for judging forms: ``count`` from before, as many later ones."""
    return list(session.scalars(_OTHER_TEXTS, {"since": since, "count": count, "most": MOST_TRAFFIC}))


def due(session: Session, students: bool) -> int | None:
    """Id of the active version if one of its forms can be made or judged; None: nothing is due.

    Args:
        students: whether students are made.
    """
    asked = {"least": LEAST_TRAFFIC, "most": MOST_TRAFFIC, "students": students}
    found: int | None = session.scalar(_DUE, asked)
    return found


def judged(
    session: Session, version_id: int, name: str, state: str, verdict: dict[str, Any], documents: int
) -> None:  # fmt: skip
    """Store a new verdict on a form, and the number of documents of traffic that were looked at for it."""
    form = get(session, version_id, name)
    form.state, form.figures = state, form.figures | {"verdict": verdict, "traffic": documents}
    session.flush()


def chosen_by_people(session: Session, version_id: int) -> bool:
    """Whether a person has ever chosen the form in which a version serves."""
    return bool(session.scalar(_CHOSEN, {"subject": _subject(version_id)}))


def serve(
    session: Session, version_id: int, name: str, actor: str, because: str | None = None, leave: str | None = None
) -> ModelVersion:
    """Let another form of a version serve, with an audit row; workers take it up like a promotion. The caller commits.

    Args:
        because: why a form that is not proved serves anyway.
        leave: the form that it replaces, so that a repeated request changes nothing; None: any.

    Raises:
        NotFoundError: the version or the form does not exist.
        ConflictError: it serves already, another form than ``leave`` serves, it could not be made, or it is not proved
            and ``because`` is missing.
    """
    locks.hold(session, Lock.PROMOTION)
    session.expire_all()
    version, form = model_versions.get(session, version_id), get(session, version_id, name)
    if version.form == name:
        raise ConflictError(f"form {name} of model version {version_id} serves already")
    if leave is not None and leave != version.form:
        raise ConflictError(f"form {leave} of model version {version_id} no longer serves; form {version.form} does")
    if form.state == "missing":
        raise ConflictError(f"form {name} of model version {version_id} could not be made")
    if form.state != "proved" and not because:
        raise ConflictError(f"form {name} of model version {version_id} is {form.state}; it needs a reason to serve")
    detail: dict[str, Any] = {"form": name, "before": version.form}
    if because:
        detail["because"] = because
    session.execute(update(ModelVersion).where(ModelVersion.id == version_id).values(form=name))
    session.add(AuditEvent(actor=actor, action="serve_form", subject=_subject(version_id), detail=detail))
    redecisions.ask(session)  # it has thresholds of its own
    session.flush()
    session.refresh(version)
    return version


def serve_previous(session: Session, version_id: int, actor: str, leave: str | None = None) -> ModelVersion:
    """Let the form serve that served before the present one; the caller commits.

    Raises:
        NotFoundError: the version does not exist.
        ConflictError: the version has always served as it does, or another form than ``leave`` serves.
    """
    locks.hold(session, Lock.PROMOTION)
    version = model_versions.get(session, version_id)
    before = session.scalar(_BEFORE, {"subject": _subject(version_id), "form": version.form})
    if before is None:
        raise ConflictError(f"model version {version_id} has not served in another form than {version.form}")
    return serve(session, version_id, before, actor, because="back to the form that served before", leave=leave)


def _subject(version_id: int) -> str:
    return f"model_version:{version_id}"
