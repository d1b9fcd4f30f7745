"""A worker whose process that computes only sleeps as long as a pass would take, and notes each pass in a file.

`python -m sleeping celery -A worker worker`; the file is `passes` in the data folder, a JSON line for each pass.
"""

import json
import time
from pathlib import Path

import numpy as np
from stand_in import first_label, run

from classifier.checkpoint_folder import read_checkpoint
from classifier.engines.protocol import Outputs
from classifier.tokens import read_tokenizer
from sortline.settings import Settings

S_A_TOKEN = 2e-4


class SleepingEngine:
    """Answers with the first label; a pass of which a row has the word "cash" is noted as live."""

    name, parallel, tokens_per_batch, overhead, slow_at_first = "sleeping", 1, 2048, 32, False
    width = hidden = 0

    def __init__(self, folder: Path, passes: Path) -> None:
        self._labels = len(read_checkpoint(folder).description.labels)
        self._cash = read_tokenizer(folder).token_to_id("cash")
        self._passes = passes

    def run(self, input_ids: np.ndarray, _mask: np.ndarray) -> Outputs:
        started, took = time.time(), S_A_TOKEN * (input_ids.size + self.overhead)
        time.sleep(took)
        noted = {"at": started, "seconds": took, "rows": len(input_ids), "live": bool((input_ids == self._cash).any())}
        with self._passes.open("a") as file:
            file.write(json.dumps(noted) + "\n")
        return first_label(len(input_ids), self._labels)


def _load(folder: Path, settings: Settings, _quantised: bool) -> SleepingEngine:
    return SleepingEngine(folder, settings.data_dir / "passes")


if __name__ == "__main__":
    run("sleeping", _load)
