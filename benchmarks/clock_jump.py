"""`clock_jump`: wall clocks are set an hour ahead and back under load, of the processes, of the servers, of both."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from sqlalchemy import text

from benchmarks.kept import Kept, end
from benchmarks.load import Load
from benchmarks.losses import Entries
from benchmarks.model import register_stub
from benchmarks.shifted_clock import ShiftedClock, can_be_shifted
from benchmarks.stack import Stack, result, say, stack, stored
from db.connection import get_engine
from db.queries import outbox, status
from db.session import session
from sortline.events import ResultEvent
from sortline.settings import LANES

_HOUR = 3600
_HEALS_WITHIN_S = 120.0
_WORKER_DIES_EVERY = 2  # of the jumps


def clock_jump(rounds: int = 2) -> int:
    """Fields: jumps, documents (accepted), lost, duplicates (of rows), dead, stalled_s_max (from a jump to the next
    document stored, and to the end of those that a worker held who was killed with the jump), housekeeping_s_max (from
    a jump to the next event that housekeeping sends).
    """
    if not can_be_shifted():
        raise SystemExit("this line shifts the clocks of processes with a C library, and there is no compiler: not run")
    with ExitStack() as opened:
        place = Path(tempfile.mkdtemp(prefix="sortline-clock-"))
        opened.callback(shutil.rmtree, place)
        place.chmod(0o755)  # Postgres' user reads it too
        processes, servers = ShiftedClock(place / "processes"), ShiftedClock(place / "servers")
        with _environment(servers):
            made = opened.enter_context(
                stack("clock_jump", classifier="benchmarks.stub:load", claim_idle_s=2.0, watch_interval_s=0.3)
            )
        register_stub(made)
        with _environment(processes):
            worker = opened.enter_context(Kept(made.start_worker))
            for process in (made.start_housekeeping(), made.start_beat()):
                opened.callback(end, process)
            made.wait_ready()
            _send_an_event(made)
            load = Load(made.queue, per_s=300.0)
            load.start()
            jumps = [clocks for clocks in ((processes,), (servers,), (processes, servers)) for _ in range(rounds)]
            stalled, housekeeping = [], []
            for number, clocks in enumerate(jumps):
                time.sleep(3)
                if number % _WORKER_DIES_EVERY:
                    worker.process.kill()
                for clock in clocks:
                    clock.set(_HOUR if number % 2 == 0 else 0)
                housekeeping.append(_send_an_event(made))
                stalled.append(_goes_on(made))
                say(f"jump {number + 1} of {len(jumps)}: {stalled[-1]:.1f} s, housekeeping {housekeeping[-1]:.1f} s")
            load.stop()
            made.wait_drained(_HEALS_WITHIN_S)
        rows = stored(made)
        with get_engine(made.settings.postgres_url).connect() as connection:
            dead = int(connection.scalar(text("SELECT count(*) FROM dead_letters")) or 0)
        lost = len(load.accepted - set(rows))
        result(
            "clock_jump",
            jumps=len(jumps),
            documents=len(load.accepted),
            lost=lost,
            duplicates=sum(count - 1 for count in rows.values()),
            dead=dead,
            stalled_s_max=round(max(stalled), 1),
            housekeeping_s_max=round(max(housekeeping), 1),
        )
        return lost


@contextmanager
def _environment(clock: ShiftedClock) -> Iterator[None]:
    """What is started in the block goes by this clock."""
    kept = dict(os.environ)
    os.environ.update(clock.environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _goes_on(made: Stack) -> float:
    """Seconds until what was accepted by now is done."""
    began = time.monotonic()
    newest = {lane: cast(Entries, made.client.xrevrange(made.settings.stream(lane), count=1)) for lane in LANES}
    for lane, found in newest.items():
        while found and made.client.xrange(made.settings.stream(lane), "-", found[0][0], count=1):
            if time.monotonic() > began + _HEALS_WITHIN_S:
                raise SystemExit(f"what a dead worker held is not taken over within {_HEALS_WITHIN_S:g} s")
            time.sleep(0.05)
    return time.monotonic() - began


def _send_an_event(made: Stack) -> float:
    """Seconds until housekeeping has sent an event of now."""
    began = time.monotonic()
    with session(made.settings.postgres_url) as opened:
        outbox.put_off(opened, [ResultEvent("corrected", "clock", "1")])
        opened.commit()
        while status.unsent(opened)[0]:
            opened.rollback()
            if time.monotonic() > began + _HEALS_WITHIN_S:
                raise SystemExit(f"housekeeping sends nothing for {_HEALS_WITHIN_S:g} s")
            time.sleep(0.1)
    return time.monotonic() - began
