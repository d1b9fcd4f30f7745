"""The process that computes, with an engine that computes nothing: ``python -m benchmarks.no_engine DESCRIPTOR...``.

``python -m benchmarks.no_engine celery -A worker worker`` runs a worker that starts it.
"""

import sys
from pathlib import Path

from benchmarks.named_worker import main as run_named
from benchmarks.stub import NoEngine
from classifier.checkpoint_folder import read_checkpoint
from classifier.engines import process
from sortline.settings import Settings
from worker import processes


def _load(folder: Path, _settings: Settings, _quantised: bool) -> NoEngine:
    return NoEngine(len(read_checkpoint(folder).description.labels))


if __name__ == "__main__":
    if sys.argv[1].isdecimal():
        process.main([int(each) for each in sys.argv[1:]], _load)
    else:
        processes.ENGINE_PROCESS = "benchmarks.no_engine"
        run_named()
