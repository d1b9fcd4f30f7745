"""Send the events of committed transactions to the results stream: at least once, in order for each document."""

import redis

from db.queries import outbox
from db.session import session
from sortline.errors import ServerUnreachableError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings

_AT_ONCE = 1000


def sweep(settings: Settings) -> int:
    """Send what waits in the outbox; returns how many events were sent.

    They are appended in one MULTI and then marked as sent: after a crash between the two they are sent again. Only
    one sweep runs at a time.

    Raises:
        ServerUnreachableError: Redis or Postgres can't be reached; nothing is lost, the next sweep sends it.
    """
    sent = 0
    with redis.Redis.from_url(settings.redis.url, socket_timeout=10, socket_connect_timeout=5) as client:
        while True:
            found = _sweep_once(settings.postgres_url, client, settings.results_stream, settings.results_length)
            sent += found
            if found < _AT_ONCE:
                return sent


def _sweep_once(postgres: PostgresAddress, client: redis.Redis, results: str, length: int) -> int:
    with session(postgres) as opened:
        if not outbox.lock(opened):
            return 0
        events = outbox.due(opened, _AT_ONCE)
        if not events:
            return 0
        try:
            with client.pipeline(transaction=True) as pipe:
                for _, event in events:
                    pipe.xadd(results, event, maxlen=length, approximate=True)
                pipe.execute()
        except redis.RedisError as error:
            raise ServerUnreachableError(f"the results stream accepts no events: {error}") from None
        outbox.mark_sent(opened, [id_ for id_, _ in events])
        opened.commit()
        return len(events)
