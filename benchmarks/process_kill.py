"""`web_kill`, `beat_kill`: processes beside the worker are killed, and nothing accepted or promised is lost."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.api_token import TOKEN
from benchmarks.kept import Kept
from benchmarks.load import HttpLoad
from benchmarks.losses import drain, judge, published, sweep, until
from benchmarks.stack import Stack, result, say
from benchmarks.whole_line import processes, whole_line
from db.queries import outbox
from db.session import session
from sortline.events import ResultEvent


def web_kill(faults: int = 50) -> int:
    """`kill -9` of the web while documents come over HTTP; returns how many of those that it answered 202 are lost.

    More fields: refused (requests that were not accepted, and sent again), restarts.
    """
    draw = random.Random(29)
    with _line("web_kill") as (made, kept):
        load = HttpLoad(made.queue, url=f"http://127.0.0.1:{made.settings.web_port}", token=TOKEN)
        load.start()
        for number in range(faults):
            accepted = len(load.accepted)
            until(lambda: len(load.accepted) > accepted)  # noqa: B023 - called at once
            time.sleep(draw.uniform(0, 0.5))
            kept["web"].kill()
            say(f"web_kill: {number + 1} of {faults}, {len(load.accepted):,} documents accepted")
        load.stop()
        restarts = kept["web"].started_again
        return judge(made, "web_kill", faults, load.accepted, drain(made), refused=load.refused, restarts=restarts)


def beat_kill(faults: int = 50) -> int:
    """`kill -9` of beat while events come into the outbox; returns how many of them never left.

    Fields: faults, accepted (events), lost, duplicates (that left twice), restarts.
    """
    draw = random.Random(31)
    with _line("beat_kill") as (made, kept):
        count = 0
        for number in range(faults):
            for _ in range(5):
                with session(made.settings.postgres_url) as opened:
                    outbox.put_off(opened, [ResultEvent("classified", "faults", f"e{count}")])
                    opened.commit()
                count += 1
                time.sleep(draw.uniform(0, 0.8))
            kept["beat"].kill()
            say(f"beat_kill: {number + 1} of {faults}, {count} events")
        sweep(made)
        left = published(made)
        lost = len({f"e{number}" for number in range(count)} - left.keys())
        doubled = sum(left.values()) - len(left)
        restarts = kept["beat"].started_again
        result("beat_kill", faults=faults, accepted=count, lost=lost, duplicates=doubled, restarts=restarts)
    return lost + doubled


@contextmanager
def _line(name: str) -> Iterator[tuple[Stack, dict[str, Kept]]]:
    with ExitStack() as opened:
        made = opened.enter_context(whole_line(name))
        kept = processes(made, "celery -A worker")
        for each in kept.values():
            opened.enter_context(each)
        made.wait_ready()
        yield made, kept
