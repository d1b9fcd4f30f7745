"""Runs a worker whose engine is another: `python -m NAME celery -A worker worker`, for a module NAME that ends in this.

The worker starts the process that computes as `python -m NAME DESCRIPTORS`.
"""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from classifier.engines import process
from classifier.engines.protocol import Engine, Outputs
from sortline.settings import Settings
from worker import processes


def first_label(rows: int, labels: int) -> Outputs:
    """Outputs of an engine that is sure of the first label, without vectors."""
    logits = np.zeros((rows, labels), np.float32)
    logits[:, 0] = 9
    return Outputs(logits, *[np.empty((rows, 0), np.float32)] * 2)


def run(name: str, load: Callable[[Path, Settings, bool], Engine]) -> None:
    """Be the process that computes, or the worker that starts it by the module's ``name``."""
    if sys.argv[1].isdecimal():
        process.main([int(each) for each in sys.argv[1:]], load)
    else:
        processes.ENGINE_PROCESS = name
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
