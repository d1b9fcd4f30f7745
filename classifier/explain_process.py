"""The process that explains: ``python -m classifier.explain_process THREADS``.

It is a process of its own so that the worker never holds torch in memory (see `classifier.engines.openvino_convert`).
It reads JSON lines ``{"folder", "text", "label_id", "layer"}`` and answers each with one line: the explanation, or
``{"error"}``. ``layer``: the last layer that answered, a list of rows with the bias last, or null. It ends when its
input ends, at the latest with its parent.
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import orjson
import torch

from classifier.checkpoint_folder import read_checkpoint
from classifier.explain import Explainer
from classifier.head import Head
from sortline.errors import SortlineError
from sortline.logs import set_up_logging

_NICE = 5  # classification goes before explanations


def main(threads: int) -> None:
    """Answer until the input ends."""
    set_up_logging()
    os.nice(_NICE)
    torch.set_num_threads(threads)
    loaded: tuple[str, Explainer] | None = None
    for line in sys.stdin.buffer:
        asked = orjson.loads(line)
        try:
            if loaded is None or loaded[0] != asked["folder"]:
                loaded = None  # frees its memory before another is loaded
                stored = read_checkpoint(Path(asked["folder"]))
                loaded = asked["folder"], Explainer(stored.folder, stored.description)
            layer = None if asked["layer"] is None else Head.unpacked(np.array(asked["layer"], np.float32))
            answer = asdict(loaded[1].explain(asked["text"], asked["label_id"], layer))
        except SortlineError as error:
            answer = {"error": str(error)}
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
