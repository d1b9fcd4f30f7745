"""Dead letters onto the queue again, as they were sent."""

import time
from collections.abc import Sequence

from sqlalchemy.orm import Session

from db.queries import dead_letters
from sortline.queue import DocumentQueue, check_lane, unpack_entry

_AT_ONCE = 20  # a letter can hold a mebibyte


def requeue(
    session: Session,
    queue: DocumentQueue,
    actor: str,
    reason: str | None = None,
    ids: Sequence[int] | None = None,
    most_s: float = float("inf"),
) -> int:
    """Send dead letters again, the oldest first; commits batch by batch.

    A crash sends a batch twice at most, and loses none. Two who requeue the same at once send it once. What dies again
    meanwhile is left for another time.

    Args:
        reason: only those of it; None: of any.
        ids: only those; None: all.
        most_s: seconds after which no further batch is begun.

    Returns:
        How many were sent.

    Raises:
        ServerUnreachableError: Redis is away; batches before are sent and committed, the others wait still.
    """
    began, done, up_to = time.monotonic(), 0, dead_letters.newest_id(session)
    while time.monotonic() - began < most_s and (letters := dead_letters.take(session, up_to, _AT_ONCE, reason, ids)):
        for lane in sorted({check_lane(letter.lane) for letter in letters}):
            entries = [unpack_entry(letter.raw) for letter in letters if letter.lane == lane]
            # An entry without fields can't be sent, and there is nothing to classify in one.
            queue.append_again(lane, [fields for fields in entries if fields])
        dead_letters.mark_requeued(session, [letter.id for letter in letters], actor)
        session.commit()
        session.expunge_all()
        done += len(letters)
    return done
