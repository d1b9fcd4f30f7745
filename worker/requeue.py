"""Send dead letters to the queue again, exactly as they were first sent."""

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
    """Send dead letters again, the oldest first; commits after each batch.

    A crash loses no letter and sends at most one batch twice. If two people requeue the same letters at once, they are
    sent once. A letter that dies again meanwhile is not sent again by this call.

    Args:
        reason: requeue only letters with this reason; None: any.
        ids: requeue only these letters; None: all.
        most_s: seconds after which no further batch begins.

    Returns:
        The number of letters sent.

    Raises:
        ServerUnreachableError: Redis can't be reached; earlier batches are sent and committed, the rest are still dead.
    """
    began, done, up_to = time.monotonic(), 0, dead_letters.newest_id(session)
    while time.monotonic() - began < most_s and (letters := dead_letters.take(session, up_to, _AT_ONCE, reason, ids)):
        for lane in sorted({check_lane(letter.lane) for letter in letters}):
            entries = [unpack_entry(letter.raw) for letter in letters if letter.lane == lane]
            # An entry without fields can't be sent, and has nothing to classify.
            queue.append_again(lane, [fields for fields in entries if fields])
        dead_letters.mark_requeued(session, [letter.id for letter in letters], actor)
        session.commit()
        session.expunge_all()
        done += len(letters)
    return done
