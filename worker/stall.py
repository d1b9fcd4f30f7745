"""End a process that does not read a lane it should read, or that holds entries which nothing works on.

Neither should happen. If a bug makes it happen, all threads are alive but the intake has stopped. The supervisor then
restarts the process, and another worker takes over what it held.
"""

from collections.abc import Callable, Mapping

from prometheus_client import Gauge

from sortline.settings import LANES, Lane
from worker.consumer import Consumer
from worker.held import Held
from worker.outage import REFUSED, Unanswered

CHECKS = 12  # consecutive checks without progress, after which the process ends
STALLED = Gauge(
    "sortline_lane_stalled_seconds", "Seconds that a lane with entries and room was not read by a worker", ["lane"]
)
for _lane in LANES:
    STALLED.labels(_lane)


class StallWatch:
    """Checks each lane regularly. It counts checks, not seconds, because a suspended process has not stalled.

    Args:
        stalled_s: seconds after which a stalled lane ends the process.
        has_room: whether the lane's reader should read an entry now: it has room, or the process is idle.
        is_idle: whether nothing is on its way through the process.
    """

    def __init__(
        self,
        stalled_s: float,
        consumer: Consumer,
        held: Held,
        has_room: Callable[[Lane], bool],
        is_idle: Callable[[], bool],
    ) -> None:
        self.every_s = stalled_s / CHECKS
        self.consumer = consumer
        self.held = held
        self.has_room = has_room
        self.is_idle = is_idle
        self._stalled: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._before: Mapping[Lane, tuple[int, int]] = {}

    def check(self) -> str | None:
        """Why the process must end; None: it need not."""
        now = {lane: (self.held.read[lane], self.held.acknowledged[lane]) for lane in LANES}
        why: dict[Lane, str | None] = {}
        for lane in LANES:
            moved = now[lane] != self._before.get(lane)
            why[lane] = None if moved or REFUSED.is_unanswered() else self._fault(lane)
            self._stalled[lane] = self._stalled[lane] + 1 if why[lane] else 0
            STALLED.labels(lane).set(self._stalled[lane] * self.every_s)
        self._before = now
        return next((why[lane] for lane in LANES if self._stalled[lane] >= CHECKS), None)

    def _fault(self, lane: Lane) -> str | None:
        """What is wrong with a lane that has not moved since the last check; None: nothing."""
        if self.is_idle() and (count := self.held.count(lane)):
            entries = "1 entry is" if count == 1 else f"{count:,} entries are"
            return f"{entries} held in lane {lane}, but nothing processes {'it' if count == 1 else 'them'}"
        try:
            if self.has_room(lane) and self.consumer.is_unread(lane):
                return f"lane {lane} has entries and this process has room for them, but it does not read them"
        except Unanswered as error:
            REFUSED.note(error)  # so the lane can't be read now
        return None
