"""A worker with the classic mistake: it acknowledges before it commits. `python -m early_acknowledgement worker`"""

import sys
from collections.abc import Sequence

from celery.bin.celery import main

from worker.entry import Entry
from worker.micro_batch import ActiveModel
from worker.reader import Reader

_admit = Reader._admit


def _acknowledge_on_arrival(self: Reader, entries: Sequence[Entry], model: ActiveModel) -> None:
    self.consumer.acknowledge(entries, [])
    _admit(self, entries, model)


if __name__ == "__main__":
    Reader._admit = _acknowledge_on_arrival  # type: ignore[method-assign]
    sys.argv = ["celery", "-A", "worker", *sys.argv[1:]]
    main()
