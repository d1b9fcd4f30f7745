"""Queries on webhooks: the events that they want, deliveries, failures, and people's changes to them."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Row, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import AuditEvent, Webhook, WebhookDelivery
from db.names import check_name
from db.queries.status import WEBHOOK_DOWN
from sortline.errors import ConflictError, NotFoundError
from sortline.events import ResultEvent

_HELD_S = 60  # longer than a round of requests
_FIRST_RETRY_S, _FACTOR = 5, 3
_LONGEST_RETRY_S = 6 * 3600
_LONGEST_REST_S = 300  # of a webhook that fails as a whole
_GIVE_UP_H = 24

_ADD = text("""
INSERT INTO webhook_deliveries (webhook_id, document_id, source, external_id, event)
SELECT webhooks.id, coalesce(row.document_id, documents.id), row.event ->> 'source', row.event ->> 'id', row.event
FROM json_to_recordset(CAST(:rows AS json)) AS row (n integer, document_id bigint, hash text, event jsonb)
JOIN webhooks ON (sources IS NULL OR row.event ->> 'source' = ANY(sources)) AND row.event ->> 'event' = ANY(events)
LEFT JOIN documents ON source = row.event ->> 'source' AND external_id = row.event ->> 'id'
  AND content_hash = decode(row.hash, 'hex')
ORDER BY n
""")
_CLAIM = text("""
UPDATE webhooks SET held_until = now() + make_interval(secs => :held) WHERE id IN (
  SELECT id FROM webhooks WHERE paused_at IS NULL AND retry_at <= now() AND coalesce(held_until <= now(), true)
  AND EXISTS (SELECT FROM webhook_deliveries
              WHERE webhook_id = webhooks.id AND state = 'waiting' AND next_attempt_at <= now())
  ORDER BY held_until NULLS FIRST LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING id
""")
# Only the oldest delivery of each document, so that no later one overtakes it.
_HEADS = text("""
SELECT id, event FROM webhook_deliveries due
WHERE webhook_id = :webhook_id AND state = 'waiting' AND next_attempt_at <= now() AND NOT EXISTS (
  SELECT FROM webhook_deliveries earlier WHERE earlier.source = due.source
  AND earlier.external_id = due.external_id AND earlier.webhook_id = due.webhook_id AND earlier.id < due.id
  AND earlier.state = 'waiting')
ORDER BY id LIMIT :limit
""")
_DELIVERED = text("""
UPDATE webhook_deliveries SET state = 'delivered', attempts = attempts + 1, ended_at = now(), error = NULL
WHERE id = ANY(:ids)
""")
_FAILED = text("""
UPDATE webhook_deliveries SET attempts = attempts + 1, error = :error,
  next_attempt_at = now() + wait.pause, give_up_at = wait.until,
  state = CASE WHEN now() + wait.pause > wait.until THEN 'dead' ELSE 'waiting' END,
  ended_at = CASE WHEN now() + wait.pause > wait.until THEN now() END
FROM (
  SELECT id, make_interval(secs => (0.8 + 0.4 * random()) * least(:first * :factor ^ least(attempts, 20), :longest))
    AS pause, coalesce(give_up_at, now() + make_interval(hours => :give_up)) AS until
  FROM webhook_deliveries WHERE id = :id
) wait
WHERE webhook_deliveries.id = wait.id AND state = 'waiting'
RETURNING state
""")
_WELL = text("""
UPDATE webhooks SET failures = 0, failing_since = NULL, last_success_at = now(), retry_at = now(),
  held_until = now() + make_interval(secs => :held) WHERE id = :id
""")
# When the webhook works again, deliveries that failed with it are due at once.
_AGAIN_SOON = text("""
UPDATE webhook_deliveries SET next_attempt_at = now()
WHERE webhook_id = :id AND state = 'waiting' AND next_attempt_at > now()
""")
_ILL = text("""
UPDATE webhooks SET failures = failures + 1, failing_since = coalesce(failing_since, now()), last_error = :error,
  retry_at = now() + make_interval(
    secs => (0.8 + 0.4 * random()) * least(:first * :factor ^ least(failures, 20), :longest))
WHERE id = :id RETURNING failing_since <= now() - make_interval(hours => :give_up)
""")
_PRUNE = text("""
DELETE FROM webhook_deliveries WHERE
  (state = 'delivered' AND ended_at < now() - make_interval(days => :days))
  OR (state = 'dead' AND ended_at < now() - make_interval(days => 4 * :days))
  OR (state = 'waiting' AND NOT EXISTS (SELECT FROM webhooks WHERE webhooks.id = webhook_id))
""")
_TOO_OLD = text("""
UPDATE webhook_deliveries SET state = 'dead', ended_at = now(),
  error = coalesce(error, 'it waited too long while the webhook was paused')
WHERE state = 'waiting' AND created_at < now() - make_interval(days => :days)
  AND EXISTS (SELECT FROM webhooks WHERE webhooks.id = webhook_id AND paused_at IS NOT NULL)
""")
_SEND_AGAIN = text("""
UPDATE webhook_deliveries SET state = 'waiting', attempts = 0, give_up_at = NULL, ended_at = NULL,
  next_attempt_at = now() WHERE webhook_id = :webhook_id AND state = 'dead'
""")
_COUNTS = text("""
SELECT webhook_id, count(*) FILTER (WHERE state = 'waiting') AS waiting, count(*) FILTER (WHERE state = 'dead') AS dead,
  min(created_at) FILTER (WHERE state = 'waiting') AS oldest
FROM webhook_deliveries WHERE state <> 'delivered' GROUP BY webhook_id
""")


class Wanted(NamedTuple):
    """The events that a webhook wants: these kinds, from these sources (None: all)."""

    sources: frozenset[str] | None
    events: frozenset[str]

    def wants(self, event: str, source: str) -> bool:
        """Whether it wants an event of this kind and source."""
        return event in self.events and (self.sources is None or source in self.sources)


class DocumentEvent(NamedTuple):
    """An event and its document, named by its id, by the hash of its text, or by neither."""

    event: ResultEvent
    document_id: int | None = None
    hash: str | None = None


class Counts(NamedTuple):
    """A webhook's waiting deliveries, the oldest of them, and deliveries that were given up."""

    waiting: int = 0
    dead: int = 0
    oldest: datetime | None = None


def wanted(session: Session) -> list[Wanted]:
    """What each webhook wants, including paused ones."""
    rows = session.execute(select(Webhook.sources, Webhook.events))
    return [Wanted(None if sources is None else frozenset(sources), frozenset(events)) for sources, events in rows]


def add_events(session: Session, events: Sequence[DocumentEvent]) -> None:
    """Add events for the webhooks that want them; they are sent once this transaction is committed.

    A document's events are sent in the order of their ids: whoever adds one holds a lock on the document's row.
    """
    if events:
        rows = [{**each._asdict(), "n": n, "event": each.event._asdict()} for n, each in enumerate(events)]
        session.execute(_ADD, {"rows": orjson.dumps(rows).decode()})


def claim(session: Session, limit: int) -> list[int]:
    """Ids of at most ``limit`` webhooks with due deliveries, held for a minute so that nobody else sends to them."""
    return list(session.scalars(_CLAIM, {"held": _HELD_S, "limit": limit}))


def let_go(session: Session, webhook_id: int) -> None:
    """Release a webhook."""
    session.execute(update(Webhook).where(Webhook.id == webhook_id).values(held_until=func.now()))


def heads(session: Session, webhook_id: int, limit: int) -> list[tuple[int, dict[str, str]]]:
    """Due deliveries (id, event) that may be sent at once: the oldest first, at most one per document."""
    asked = {"webhook_id": webhook_id, "limit": limit}
    return [(row.id, row.event) for row in session.execute(_HEADS, asked)]


def note_round(session: Session, webhook: Webhook, delivered: Sequence[int], failed: dict[int, str]) -> str | None:
    """Store the outcome of a round of requests, and hold the webhook for the next round.

    A failed delivery is tried again after 5 s, then after three times as long each time, up to 6 hours; after a day it
    is dead. While no request of a round succeeds, the webhook as a whole rests for up to 5 minutes; after a day without
    a success it is paused.

    Returns:
        Why the webhook was paused now; None: it was not.
    """
    pace = {"first": _FIRST_RETRY_S, "factor": _FACTOR, "give_up": _GIVE_UP_H}
    if delivered:
        session.execute(_DELIVERED, {"ids": list(delivered)})
    for id_, error in failed.items():
        session.execute(_FAILED, {**pace, "id": id_, "error": error, "longest": _LONGEST_RETRY_S})
    if delivered:
        if webhook.failures >= WEBHOOK_DOWN:
            session.execute(_AGAIN_SOON, {"id": webhook.id})
        session.execute(_WELL, {"id": webhook.id, "held": _HELD_S})
        return None
    error = next(iter(failed.values()))
    if session.scalar(_ILL, {**pace, "id": webhook.id, "error": error, "longest": _LONGEST_REST_S}):
        because = f"no delivery succeeded for {_GIVE_UP_H} hours: {error}"
        _pause(session, webhook.id, because, "beat")
        return because
    return None


def prune(session: Session, days: int) -> int:
    """Delete deliveries that succeeded over ``days`` days ago, or died four times as long ago; returns their number.

    Deliveries that have waited that long for a paused webhook are given up.
    """
    session.execute(_TOO_OLD, {"days": days})
    return int(session.execute(_PRUNE, {"days": days}).rowcount)  # type: ignore[attr-defined]


def add(
    session: Session, name: str, url: str, events: Sequence[str], sources: Sequence[str] | None, actor: str
) -> Webhook:
    """Insert a webhook; its secret is shown only now, to the person who makes it.

    Args:
        sources: the sources whose documents it gets events of; None: all.

    Raises:
        InvalidInputError: the name is empty, too long or has invisible characters.
        ConflictError: the name is taken.
    """
    check_name(name)
    values = {"name": name, "url": url, "secret": _new_secret(), "events": list(events), "sources": sources}
    made = session.scalar(insert(Webhook).values(values).on_conflict_do_nothing().returning(Webhook.id))
    if made is None:
        raise ConflictError(f"there is a webhook {name} already")
    audit(session, actor, "webhook added", made, {"name": name, "url": url})
    return session.get_one(Webhook, made)


def get(session: Session, webhook_id: int) -> Webhook | None:
    """One webhook; None: it was removed."""
    return session.get(Webhook, webhook_id)


def by_name(session: Session, name: str) -> Webhook:
    """The webhook with that name.

    Raises:
        NotFoundError: there is no such webhook.
    """
    webhook = session.scalar(select(Webhook).where(Webhook.name == name))
    if webhook is None:
        raise NotFoundError(f"there is no webhook {name}")
    return webhook


def listing(session: Session) -> list[tuple[Webhook, Counts]]:
    """All webhooks by name, with the counts of their deliveries."""
    counts = {row.webhook_id: Counts(*row[1:]) for row in session.execute(_COUNTS)}
    found = session.scalars(select(Webhook).order_by(Webhook.name))
    return [(webhook, counts.get(webhook.id, Counts())) for webhook in found]


def dead(session: Session, webhook_id: int | None = None, limit: int = 100) -> Sequence[Row[Any]]:
    """Deliveries that were given up (id, webhook, event, attempts, error, ended_at), the newest first."""
    query = (
        select(
            WebhookDelivery.id, Webhook.name.label("webhook"), WebhookDelivery.event, WebhookDelivery.attempts,
            WebhookDelivery.error, WebhookDelivery.ended_at,
        )
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(WebhookDelivery.state == "dead")
    )  # fmt: skip
    if webhook_id is not None:
        query = query.where(WebhookDelivery.webhook_id == webhook_id)
    return session.execute(
        query.order_by(WebhookDelivery.ended_at.desc(), WebhookDelivery.id.desc()).limit(limit)
    ).all()


def remove(session: Session, name: str, actor: str) -> None:
    """Delete a webhook and its deliveries.

    Raises:
        NotFoundError: there is no such webhook.
    """
    webhook = by_name(session, name)
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id))
    session.delete(webhook)
    audit(session, actor, "webhook removed", webhook.id, {"name": name, "url": webhook.url})


def pause(session: Session, name: str, actor: str) -> None:
    """Send nothing to a webhook until it is resumed; its deliveries are kept.

    Raises:
        NotFoundError: there is no such webhook.
    """
    _pause(session, by_name(session, name).id, f"by {actor}", actor)


def resume(session: Session, name: str, actor: str) -> None:
    """Resume a webhook; all waiting deliveries are due at once.

    Raises:
        NotFoundError: there is no such webhook.
    """
    webhook = by_name(session, name)
    well = {"paused_at": None, "paused_because": None, "failures": 0, "failing_since": None, "retry_at": func.now()}
    session.execute(update(Webhook).where(Webhook.id == webhook.id).values(**well))
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook.id, WebhookDelivery.state == "waiting")
        .values(next_attempt_at=func.now(), attempts=0, give_up_at=None)
    )
    audit(session, actor, "webhook resumed", webhook.id, {})


def send_again(session: Session, name: str, actor: str) -> int:
    """Send all deliveries that were given up again; returns their number.

    Raises:
        NotFoundError: there is no such webhook.
    """
    webhook = by_name(session, name)
    sent = int(session.execute(_SEND_AGAIN, {"webhook_id": webhook.id}).rowcount)  # type: ignore[attr-defined]
    audit(session, actor, "webhook sends again", webhook.id, {"deliveries": sent})
    return sent


def rotate(session: Session, name: str, keep_h: int, actor: str) -> str:
    """Give a webhook a new secret, and return it; for ``keep_h`` hours the previous one signs too.

    Raises:
        NotFoundError: there is no such webhook.
    """
    webhook = by_name(session, name)
    webhook.previous_secret, webhook.secret = webhook.secret, _new_secret()
    webhook.previous_until = session.scalar(text("SELECT now() + make_interval(hours => :h)"), {"h": keep_h})
    audit(session, actor, "webhook secret", webhook.id, {"previous_kept_h": keep_h})
    return webhook.secret


def audit(session: Session, actor: str, action: str, webhook_id: int, detail: dict[str, Any]) -> None:
    """Add a row about a webhook to the audit log."""
    session.add(AuditEvent(actor=actor, action=action, subject=f"webhook:{webhook_id}", detail=detail))


def _pause(session: Session, webhook_id: int, because: str, actor: str) -> None:
    session.execute(
        update(Webhook).where(Webhook.id == webhook_id).values(paused_at=func.now(), paused_because=because)
    )
    audit(session, actor, "webhook paused", webhook_id, {"because": because})


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
