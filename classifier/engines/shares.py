"""Which lane's forward pass comes next: live goes before bulk, and bulk always gets a share of the time."""

import threading
from collections import deque
from collections.abc import Mapping, Sized

from sortline.settings import LANES, Lane

_MEMORY_S = 2.0  # the lanes' shares are averaged over about this time


def kept(seconds: float) -> float:
    """How much of what was measured before still counts after a pass that took so long: 0 to 1."""
    return max(0.0, 1 - seconds / _MEMORY_S)


class Shares:
    """The time that each lane took lately.

    Args:
        bulk_share: the least share of bulk while passes of both lanes wait.
    """

    def __init__(self, bulk_share: float) -> None:
        self._bulk_share = bulk_share
        self._spent: dict[Lane, float] = dict.fromkeys(LANES, 0.0)

    def note(self, lane: Lane, seconds: float) -> None:
        """Note a pass and how long it took."""
        spent, share = self._spent, kept(seconds)
        spent["live"] *= share
        spent["bulk"] *= share
        spent[lane] += seconds

    def next(self, waiting: Mapping[Lane, Sized]) -> Lane | None:
        """The lane whose pass comes next; None: none waits."""
        live, bulk = waiting["live"], waiting["bulk"]
        if not (live and bulk):
            return "live" if live else "bulk" if bulk else None
        total = self._spent["live"] + self._spent["bulk"]
        return "bulk" if self._spent["bulk"] < self._bulk_share * total else "live"


class Places:
    """Lets so many passes run at once, and chooses by lane whose pass is next; thread-safe.

    Args:
        count: of passes that run at once.
        bulk_share: as for `Shares`.
    """

    def __init__(self, count: int, bulk_share: float) -> None:
        self._free = count
        self._shares = Shares(bulk_share)
        self._waiting: dict[Lane, deque[threading.Lock]] = {lane: deque() for lane in LANES}
        self._changing = threading.Lock()

    def take(self, lane: Lane) -> None:
        """Wait for the turn of a pass of that lane."""
        with self._changing:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting[lane].append(turn)
        turn.acquire()  # until a pass that ends leaves its place

    def leave(self, lane: Lane, seconds: float) -> None:
        """Let the next one run; the pass that took the place has ended and took so long."""
        with self._changing:
            self._shares.note(lane, seconds)
            following = self._shares.next(self._waiting)
            if following is None:
                self._free += 1
            else:
                self._waiting[following].popleft().release()
