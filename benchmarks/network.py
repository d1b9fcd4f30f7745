"""`network`: before every server the network resets, delays, swallows, and loses answers to COMMIT."""

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import HttpLoad, Kept, KeptWorker, Load, drain, judge, until
from benchmarks.model import register_stub
from benchmarks.proxy import Proxy
from benchmarks.stack import Stack, free_port, say, stack, stored
from db.queries import api_tokens
from db.session import session
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings

TOKEN = "a-token-of-the-benchmark"
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


def network_faults(faults: int = 14, module: str = "celery -A worker", name: str = "network") -> int:
    """Worker, web, housekeeping and beat behind proxies; documents over HTTP and by XADD. Returns how many are lost.

    More fields: answers_lost (COMMITs that Postgres did and nobody heard of), restarts (by process), refused (requests
    that were not accepted).
    """
    draw = random.Random(13)
    with ExitStack() as opened:
        made = opened.enter_context(whole_line("network"))
        way = opened.enter_context(network(made.settings))
        kept = processes(made, module, way)
        for each in kept.values():
            opened.callback(each.stop)
        made.wait_ready()
        loads = producers(made, way)
        for number in range(faults):
            time.sleep(draw.uniform(1, 3))
            before = len(stored(made))
            strike(way, KINDS[number % len(KINDS)])
            until(lambda: len(stored(made)) > before, 120)  # noqa: B023 - called at once
            say(f"{name}: {number + 1} of {faults}, {KINDS[number % len(KINDS)]}")
        for load in loads:
            load.stop()
        drained = drain(made)
        return judge(
            made, name, faults, set().union(*(load.accepted for load in loads)), drained,
            answers_lost=way.postgres.lost, refused=sum(load.refused for load in loads),
            restarts={each: kept[each].started_again for each in kept},
        )  # fmt: skip


@contextmanager
def whole_line(name: str) -> Iterator[Stack]:
    """Servers for a line of stub classifiers whose web has a port, with a token that may send documents."""
    with stack(
        name, classifier="benchmarks.stub:load", claim_idle_s=2.0, watch_interval_s=0.3, web_port=free_port()
    ) as made:
        register_stub(made)
        with session(made.settings.postgres_url) as opened:
            api_tokens.add(opened, "benchmark", hashlib.sha256(TOKEN.encode()).digest(), ["documents"], "benchmark")
            opened.commit()
        yield made


def processes(made: Stack, module: str, way: Network | None = None) -> dict[str, Kept]:
    """Every process of the line but the trainer, kept; by that way, if any, to the servers."""
    urls = way.urls() if way else {}
    housekeeping = ("-Q", "housekeeping", "--pool=threads", "-c", "1", "-n", "housekeeping@%h")
    return {
        "worker": KeptWorker(made, module, **urls),
        "web": Kept(lambda: made.start_web(**urls)),
        "housekeeping": KeptWorker(made, "celery -A housekeeping", housekeeping, **urls),
        "beat": Kept(lambda: made.start_beat(**urls)),
    }


def producers(made: Stack, way: Network | None = None, slower: float = 1) -> list[Load]:
    """A producer by XADD, and one over HTTP; both send already."""
    settings = way.settings(made.settings) if way else made.settings
    queue = DocumentQueue(connect(settings.redis), settings)
    url = f"http://127.0.0.1:{made.settings.web_port}"
    loads: list[Load] = [Load(queue, 500 / slower), HttpLoad(queue, url=url, token=TOKEN, per_s=300 / slower)]
    for load in loads:
        load.start()
    return loads
