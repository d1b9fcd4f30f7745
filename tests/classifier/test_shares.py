"""Whose pass comes next where processes share an engine: live first, bulk with its share, each lane in its order."""

import threading
from collections.abc import Callable

import pytest

from classifier.engines.shares import Places, Shares
from sortline.settings import Lane

Eventually = Callable[..., None]


def test_live_goes_first_and_bulk_gets_its_share_of_the_time() -> None:
    shares = Shares(0.25)
    waiting = {"live": [1], "bulk": [1]}
    chosen: list[Lane | None] = []
    for _ in range(400):
        lane = shares.next(waiting)
        chosen.append(lane)
        shares.note(lane or "live", 0.01)

    assert chosen[0] == "live"
    assert 0.2 <= chosen[50:].count("bulk") / 350 <= 0.3


def test_a_lane_that_waits_alone_is_next() -> None:
    shares = Shares(0.25)
    shares.note("bulk", 1.0)
    assert shares.next({"live": [], "bulk": [1]}) == "bulk"
    assert shares.next({"live": [1], "bulk": []}) == "live"
    assert shares.next({"live": [], "bulk": []}) is None


def test_a_short_pass_counts_for_what_it_takes() -> None:
    """Long passes of live make room for many short ones of bulk."""
    shares = Shares(0.5)
    waiting = {"live": [1], "bulk": [1]}
    shares.note("live", 0.4)
    for _ in range(3):
        assert shares.next(waiting) == "bulk"
        shares.note("bulk", 0.1)


@pytest.mark.parametrize("count", [1, 2])
def test_so_many_passes_run_at_once_and_live_overtakes_those_of_bulk_that_wait(
    count: int, eventually: Eventually
) -> None:
    places, order, ends = Places(count, 0.2), list[str](), threading.Event()

    def run(lane: Lane, name: str, wait: bool = False) -> None:
        places.take(lane)
        order.append(name)
        if wait:
            ends.wait(20)
        places.leave(lane, 0.05 if wait else 0.0)

    threads = []

    def start(*arguments: object) -> None:
        threads.append(threading.Thread(target=run, args=arguments))
        before = sum(map(len, places._waiting.values())) + len(order)
        threads[-1].start()
        eventually(lambda: sum(map(len, places._waiting.values())) + len(order) > before)

    for number in range(count):
        start("bulk", f"running {number}", True)
    for lane, name in (("bulk", "bulk 1"), ("bulk", "bulk 2"), ("live", "live 1"), ("live", "live 2")):
        start(lane, name)
    assert order == [f"running {number}" for number in range(count)]
    ends.set()
    for thread in threads:
        thread.join(20)

    rest = order[count:]
    assert sorted(rest) == ["bulk 1", "bulk 2", "live 1", "live 2"]
    if count == 1:
        assert rest == ["live 1", "live 2", "bulk 1", "bulk 2"]
