"""`python -m benchmarks.named_worker celery ...`: a worker whose threads the kernel knows by their names.

Python sets these names itself from 3.14 on. A thread that a library starts has the name of the one that started it.
"""

import os
import runpy
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

NAMED_WORKER = "benchmarks.named_worker celery -A worker"
NATIVE = "native"
_TICKS = os.sysconf("SC_CLK_TCK")


def by_thread(pid: int, kernel: bool = True) -> dict[str, float]:
    """Seconds of processor time of a process by its threads' names; those that libraries started are `native`.

    Args:
        kernel: whether the kernel's time for a thread counts too. It is that of reading and writing, for which a thread
            lets go of Python's interpreter.
    """
    found: dict[str, float] = defaultdict(float)
    seen: set[str] = set()
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda each: int(each.name)):
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        fields = rest.split()
        # The thread itself is the first of its name: what it started is younger.
        ticks = int(fields[11]) + (int(fields[12]) if kernel else 0)
        found[NATIVE if name in seen else name] += ticks / _TICKS
        seen.add(name)
    return found


def interpreter_s(pid: int) -> float:
    """At most so many seconds did the threads of a process keep its interpreter busy so far."""
    return sum(seconds for name, seconds in by_thread(pid, kernel=False).items() if name != NATIVE)


def main() -> None:
    """Run a module as `python -m` does."""
    bootstrap: Callable[[threading.Thread], None] = threading.Thread.run

    def named(thread: threading.Thread) -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(thread.name[:15])
        bootstrap(thread)

    # Every thread has to pass here, also those that libraries start in Python: nothing else sees them begin.
    threading.Thread.run = named  # type: ignore[assignment, method-assign]
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
