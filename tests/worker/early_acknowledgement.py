"""A worker with the classic mistake: it acknowledges before it commits, and has nothing to try again with.

`python -m early_acknowledgement worker`
"""

import sys
from collections.abc import Callable, Sequence

from celery.bin.celery import main
from sqlalchemy.exc import DBAPIError

from sortline.errors import TransientError
from sortline.events import ResultEvent
from worker.entry import Entry
from worker.micro_batch import ActiveModel
from worker.reader import Reader
from worker.writer import Writer

_admit = Reader._admit


def _acknowledge_on_arrival(self: Reader, entries: Sequence[Entry], model: ActiveModel) -> None:
    self.consumer.acknowledge(entries, [])
    _admit(self, entries, model)


def _commit_once(_self: Writer, commit: Callable[[], list[ResultEvent]]) -> list[ResultEvent]:
    try:
        return commit()
    except (TransientError, DBAPIError):
        return []


if __name__ == "__main__":
    Reader._admit = _acknowledge_on_arrival  # type: ignore[method-assign]
    Writer._insist = _commit_once  # type: ignore[method-assign]
    sys.argv = ["celery", "-A", "worker", *sys.argv[1:]]
    main()
