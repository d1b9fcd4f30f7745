"""A text that somebody pasted on its way to a worker, and what the worker makes of it on its way back.

Both are in Redis for a minute at most, because Celery's messages carry no texts.
"""

import secrets
from typing import Any

import orjson
import redis

_KEPT_S = 60


class Pasted:
    """Pasted texts of one line.

    Args:
        client: of the line's Redis.
        prefix: the first part of every key.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._key = f"{prefix}:pasted:"

    def put(self, text: str) -> str:
        """Leave a text for a worker; returns the token that the worker needs."""
        token = secrets.token_urlsafe(16)
        self._client.set(self._key + token, text.encode(), ex=_KEPT_S)
        return token

    def take(self, token: str) -> str | None:
        """Take a text away; None: it is gone, because it was taken or nobody waits any more."""
        found: Any = self._client.getdel(self._key + token)
        return None if found is None else found.decode()

    def answer(self, token: str, answer: dict[str, Any]) -> None:
        """Leave what was made of a text for who waits for it."""
        key = f"{self._key}{token}:answer"
        with self._client.pipeline() as pipe:
            pipe.rpush(key, orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))
            pipe.expire(key, _KEPT_S)
            pipe.execute()

    def wait(self, token: str, seconds: float) -> dict[str, Any] | None:
        """Wait for what a worker makes of a text; None: none has answered in time."""
        found: Any = self._client.blpop([f"{self._key}{token}:answer"], timeout=seconds)
        if found is None:
            self._client.delete(self._key + token)
            return None
        answer: dict[str, Any] = orjson.loads(found[1])
        return answer
