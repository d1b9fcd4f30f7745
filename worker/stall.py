"""A lane that should be read and is not, or entries that are held and nowhere on their way: the process has to end.

Neither may happen; were there a mistake by which it does, all threads would live and the line would stand still. The
supervisor starts the process again, and what it held is taken over.
"""

from collections.abc import Callable, Mapping

from prometheus_client import Gauge

from sortline.settings import LANES, Lane
from worker.consumer import Consumer
from worker.held import Held
from worker.outage import REFUSED, Unanswered

LOOKS = 12  # in a row without progress, after which the process ends
STALLED = Gauge(
    "sortline_lane_stalled_seconds", "Seconds that a lane with entries and room was not read by a worker", ["lane"]
)
for _lane in LANES:
    STALLED.labels(_lane)


class StallWatch:
    """Looks at each lane again and again. Looks are counted, not seconds: a suspended process has missed nothing.

    Args:
        stalled_s: seconds after which a lane that stands still ends the process.
        has_room: whether the lane's reader would read an entry now, or would have to, for nothing is on its way.
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
        self.every_s = stalled_s / LOOKS
        self.consumer = consumer
        self.held = held
        self.has_room = has_room
        self.is_idle = is_idle
        self._looks: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._before: Mapping[Lane, tuple[int, int]] = {}

    def look(self) -> str | None:
        """Why the process has to end; None: it need not."""
        now = {lane: (self.held.read[lane], self.held.acknowledged[lane]) for lane in LANES}
        why: dict[Lane, str | None] = {}
        for lane in LANES:
            moved = now[lane] != self._before.get(lane)
            why[lane] = None if moved or REFUSED.is_unanswered() else self._standing(lane)
            self._looks[lane] = self._looks[lane] + 1 if why[lane] else 0
            STALLED.labels(lane).set(self._looks[lane] * self.every_s)
        self._before = now
        return next((why[lane] for lane in LANES if self._looks[lane] >= LOOKS), None)

    def _standing(self, lane: Lane) -> str | None:
        """What is wrong with a lane that did not move since the look before, if anything."""
        if self.is_idle() and self.held.count(lane):
            return f"{self.held.count(lane)} entries of lane {lane} are held, and nothing works on them"
        try:
            if self.has_room(lane) and self.consumer.is_unread(lane):
                return f"lane {lane} has entries, this process has room for them, and does not read them"
        except Unanswered as error:
            REFUSED.note(error)  # nobody can read it now
        return None
