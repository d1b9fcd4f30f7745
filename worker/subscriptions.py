"""Which events webhooks want, so that a line without webhooks pays nothing for them."""

import time
from collections.abc import Sequence

from sqlalchemy.orm import Session

from db.queries import webhooks
from db.queries.webhooks import Told, Wanted
from sortline.events import ResultEvent

_KEPT_S = 1.0


class Subscriptions:
    """What webhooks want, looked up once a second; threads that share it may look at the same time."""

    def __init__(self) -> None:
        self._wanted: list[Wanted] = []
        self._until = float("-inf")

    def tell(self, session: Session, events: Sequence[tuple[ResultEvent, str | None]]) -> None:
        """Let events (with the hash of their text) leave to the webhooks that want them, with this transaction."""
        if time.monotonic() >= self._until:
            self._wanted = webhooks.wanted(session)
            self._until = time.monotonic() + _KEPT_S
        if self._wanted:
            told = [Told(e, hash=hash) for e, hash in events if self._any(e)]
            webhooks.add_events(session, told)

    def _any(self, event: ResultEvent) -> bool:
        return any(wanted.wants(event.event, event.source) for wanted in self._wanted)
