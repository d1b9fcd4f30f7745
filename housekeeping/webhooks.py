"""Send events to webhooks: each at least once after the commit, and in order for each document.

Beat triggers a check of what is due every two seconds. Each webhook is served by a thread of its own, so one that
hangs delays no other. A process holds a webhook for a minute at a time: after that, another takes up what a killed
process left.
"""

import asyncio
import logging
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import orjson
from sqlalchemy.exc import DBAPIError

from db.models import Webhook
from db.queries import webhooks
from db.session import session
from housekeeping.webhook_address import read_allowed
from housekeeping.webhook_request import Sender, message
from sortline.errors import TransientError
from sortline.postgres_address import PostgresAddress

log = logging.getLogger(__name__)

_AT_ONCE = 8  # requests to one webhook, each for another document
_ROUNDS_S = 10.0


class Deliveries:
    """Serves webhooks, at most ``most`` at the same time.

    Args:
        allowed: what the setting WEBHOOK_ALLOWED says.
        timeout_s: seconds that one request may take.
    """

    def __init__(self, postgres: PostgresAddress, allowed: str, timeout_s: float, most: int = 8) -> None:
        self.postgres = postgres
        self.allowed = allowed
        self.timeout_s = timeout_s
        self.most = most
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="webhook")
        self._busy: set[Future[int]] = set()
        self._stopping = threading.Event()

    def sweep(self) -> list[Future[int]]:
        """Begin to serve the webhooks that have something due, without waiting for them.

        Raises:
            ServerUnreachableError: Postgres can't be reached.
        """
        self._busy = {each for each in self._busy if not each.done()}
        if len(self._busy) >= self.most:
            return []
        with session(self.postgres) as opened:
            claimed = webhooks.claim(opened, self.most - len(self._busy))
            opened.commit()
        begun = [self._pool.submit(self._serve_safely, webhook_id) for webhook_id in claimed]
        self._busy.update(begun)
        return begun

    def close(self) -> None:
        """Begin nothing more, and wait for the requests under way."""
        self._stopping.set()
        self._pool.shutdown()

    def _serve_safely(self, webhook_id: int) -> int:
        try:
            return asyncio.run(self._serve(webhook_id))
        except (TransientError, DBAPIError) as error:
            log.warning("webhook %d has to wait, and what was just sent may be sent again: %s", webhook_id, error)
        except Exception:  # whatever it is, the other webhooks are served
            log.exception("webhook %d could not be served", webhook_id)
        return 0

    async def _serve(self, webhook_id: int) -> int:
        """Send what is due to a webhook that this process holds, then release it; returns how many arrived."""
        began, delivered = time.monotonic(), 0
        with session(self.postgres) as opened:
            webhook = webhooks.get(opened, webhook_id)
        if webhook is None:
            return 0
        async with _sender(webhook, self.allowed, self.timeout_s) as sender:
            while time.monotonic() - began < _ROUNDS_S and not self._stopping.is_set():
                arrived = await _round(self.postgres, webhook_id, sender)
                delivered += arrived
                if not arrived:
                    break
        with session(self.postgres) as opened:
            webhooks.let_go(opened, webhook_id)
            opened.commit()
        return delivered


def ping(webhook: Webhook, allowed: str, timeout_s: float) -> str | None:
    """Send a webhook a signed `sortline.ping`; returns why it did not arrive, None if it did.

    Args:
        allowed: what the setting WEBHOOK_ALLOWED says.
        timeout_s: seconds that the request may take.
    """
    now = datetime.now(UTC)
    body = orjson.dumps({"type": "sortline.ping", "timestamp": now.isoformat(timespec="milliseconds"), "data": {}})

    async def send() -> str | None:
        async with _sender(webhook, allowed, timeout_s) as sender:
            return await sender.send(f"ping_{uuid.uuid4().hex}", body)

    return asyncio.run(send())


def _sender(webhook: Webhook, allowed: str, timeout_s: float) -> Sender:
    secrets = [webhook.secret]
    if webhook.previous_secret and webhook.previous_until and webhook.previous_until > datetime.now(UTC):
        secrets.append(webhook.previous_secret)
    return Sender(webhook.url, secrets, read_allowed(allowed), timeout_s)


async def _round(postgres: PostgresAddress, webhook_id: int, sender: Sender) -> int:
    """Send a few requests at a time, or one if the last round failed; returns how many arrived."""
    with session(postgres) as opened:
        webhook = webhooks.get(opened, webhook_id)
        if webhook is None or webhook.paused_at is not None:
            return 0
        due = webhooks.heads(opened, webhook_id, 1 if webhook.failures else _AT_ONCE)
    if not due:
        return 0
    errors = await asyncio.gather(*(sender.send(f"msg_{id_}", message(event)) for id_, event in due))
    failed = {id_: error for (id_, _), error in zip(due, errors, strict=True) if error is not None}
    delivered = [id_ for id_, _ in due if id_ not in failed]
    with session(postgres) as opened:
        paused = webhooks.note_round(opened, webhook, delivered, failed)
        opened.commit()
    for error in dict.fromkeys(failed.values()):
        log.warning("webhook %s: %s", webhook.name, error)
    if paused:
        log.error("webhook %s is paused: %s", webhook.name, paused)
    return len(delivered)
