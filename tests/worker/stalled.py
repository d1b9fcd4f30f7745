"""A worker that stands still with all its threads alive. `python -m stalled leaks|deaf worker`"""

import sys

from celery.bin.celery import main

from worker.consumer import Consumer
from worker.held import Held

if __name__ == "__main__":
    if sys.argv[1] == "leaks":
        Held.release = lambda *_: None  # type: ignore[method-assign]
    else:
        Consumer.read = lambda *_: []  # type: ignore[method-assign]
    sys.argv = ["celery", "-A", "worker", *sys.argv[2:]]
    main()
