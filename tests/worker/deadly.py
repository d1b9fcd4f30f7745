"""A worker whose process that computes is killed by the word "machine": `python -m deadly celery -A worker worker`."""

import os
import signal
from pathlib import Path

import numpy as np
from stand_in import first_label, run

from classifier.checkpoint_folder import read_checkpoint
from classifier.engines.protocol import Outputs
from classifier.tokens import read_tokenizer
from sortline.settings import Settings


class DeadlyEngine:
    """Answers with the first label, until a row has the word."""

    name, parallel, tokens_per_batch, overhead, slow_at_first = "deadly", 2, 1024, 32, False
    width = hidden = 0

    def __init__(self, folder: Path) -> None:
        self._labels = len(read_checkpoint(folder).description.labels)
        self._deadly = read_tokenizer(folder).token_to_id("machine")

    def run(self, input_ids: np.ndarray, _mask: np.ndarray) -> Outputs:
        if (input_ids == self._deadly).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return first_label(len(input_ids), self._labels)


def _load(folder: Path, _settings: Settings, _quantised: bool) -> DeadlyEngine:
    return DeadlyEngine(folder)


if __name__ == "__main__":
    run("deadly", _load)
