"""A network before the servers that resets, delays, swallows, and loses answers to COMMIT."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.losses import until
from benchmarks.proxy import Proxy
from sortline.settings import Settings

_HOLE_S = 60.0
_DELAY_S = 0.5
_DELAYED_FOR_S = 10.0
_ANSWERS = 5
KINDS = ("reset redis", "reset postgres", "delay redis", "delay postgres", "lose answers", "swallow redis",
         "swallow postgres")  # fmt: skip


class Network(NamedTuple):
    """The way to each server, and to a database of it."""

    redis: Proxy
    postgres: Proxy
    database: str

    def urls(self) -> dict[str, str]:
        """Environment of a process that takes this way."""
        return {
            "SORTLINE_REDIS_URL": f"redis://127.0.0.1:{self.redis.port}/0",
            "SORTLINE_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{self.postgres.port}/{self.database}",
        }

    def settings(self, settings: Settings) -> Settings:
        """Settings of who takes this way."""
        urls = {name.removeprefix("SORTLINE_").lower(): url for name, url in self.urls().items()}
        return settings.model_copy(update=urls)


@contextmanager
def network(settings: Settings) -> Iterator[Network]:
    """Proxies before the embedded servers of the settings."""
    socket = Path(str(settings.redis.socket))
    folder = Path(settings.postgres_url.hosts[0])
    with Proxy(socket) as to_redis, Proxy(folder / ".s.PGSQL.5432") as to_postgres:
        yield Network(to_redis, to_postgres, settings.postgres_url.parameters["dbname"])


def strike(way: Network, kind: str, hole_s: float = _HOLE_S, answers: int = _ANSWERS) -> None:
    """One thing that a network does, until it is over."""
    what, _, server = kind.partition(" ")
    proxy = way.redis if server == "redis" else way.postgres
    if what == "reset":
        proxy.reset()
    elif what == "delay":
        proxy.delay_s = _DELAY_S
        time.sleep(min(_DELAYED_FOR_S, hole_s))
        proxy.delay_s = 0.0
    elif what == "swallow":
        proxy.swallow(True)
        time.sleep(hole_s)
        proxy.swallow(False)
    else:
        lost = way.postgres.lost + answers
        way.postgres.lose_answers(answers)
        until(lambda: way.postgres.lost >= lost)
