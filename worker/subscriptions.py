"""Which events webhooks want. Without webhooks, no event is stored for them."""

import time
from collections.abc import Sequence

from sqlalchemy.orm import Session

from db.queries import webhooks
from db.queries.webhooks import DocumentEvent, Wanted
from sortline.events import ResultEvent

_KEPT_S = 1.0


class Subscriptions:
    """The events that webhooks want, read from Postgres once a second; thread-safe."""

    def __init__(self) -> None:
        self._wanted: list[Wanted] = []
        self._until = float("-inf")

    def add_events(self, session: Session, events: Sequence[tuple[ResultEvent, str | None]]) -> None:
        """Add events (each with the hash of its text) for the webhooks that want them; the caller commits."""
        if time.monotonic() >= self._until:
            self._wanted = webhooks.wanted(session)
            self._until = time.monotonic() + _KEPT_S
        if self._wanted:
            webhooks.add_events(session, [DocumentEvent(e, hash=hash) for e, hash in events if self._is_wanted(e)])

    def _is_wanted(self, event: ResultEvent) -> bool:
        return any(wanted.wants(event.event, event.source) for wanted in self._wanted)
