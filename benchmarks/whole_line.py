"""Every process of a line but the trainer, and producers that send to it by XADD and over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.api_token import TOKEN, add_token
from benchmarks.kept import Kept
from benchmarks.load import HttpLoad, Load
from benchmarks.model import register_stub
from benchmarks.network import Network
from benchmarks.stack import Stack, free_port, stack
from sortline.queue import DocumentQueue
from sortline.redis_client import connect


@contextmanager
def whole_line(name: str) -> Iterator[Stack]:
    """Servers for a line of stub classifiers whose web has a port, with a token that may send documents."""
    with stack(
        name, classifier="benchmarks.stub:load", claim_idle_s=2.0, watch_interval_s=0.3, web_port=free_port()
    ) as made:
        register_stub(made)
        add_token(made)
        yield made


def processes(made: Stack, module: str, way: Network | None = None) -> dict[str, Kept]:
    """Every process of the line but the trainer, kept; by that way, if any, to the servers."""
    urls = way.urls() if way else {}
    return {
        "worker": Kept(lambda: made.start_worker(module, **urls)),
        "web": Kept(lambda: made.start_web(**urls)),
        "housekeeping": Kept(lambda: made.start_housekeeping(**urls)),
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
