"""How many threads numpy takes for a product of matrices."""

import os


def use_one_thread() -> None:
    """Let numpy multiply matrices with one thread, unless `OPENBLAS_NUM_THREADS` says otherwise.

    Ours are small, and an engine, torch or another process has the cores: waiting for each other, threads take up to
    17 times the processor time (docs/decisions/0007-training-speed.md). Call it before numpy is loaded.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
