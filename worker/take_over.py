"""Take over entries that other workers did not finish, or whose delivery to this one was lost."""

import logging

from sortline.settings import Lane
from worker import metrics
from worker.consumer import Consumer
from worker.held import Held

log = logging.getLogger(__name__)

_AT_ONCE = 256


def take_over(consumer: Consumer, held: Held, lane: Lane) -> None:
    """Claim entries that have been idle in a lane for too long, while there is room, and hand them to its reader."""
    while (count := min(held.room(lane), _AT_ONCE)) > 0:
        claimed = consumer.take_over(lane, count)
        taken = held.add(claimed)
        for entry in taken:
            held.later(entry)
        metrics.TAKEN_OVER.labels(lane).inc(len(taken))
        if taken:
            log.info("took over entries of lane %s: %d", lane, len(taken))
        if len(claimed) < count or not taken:
            return
