"""`make bench-gpu`: BERT-base on 128 tokens, the bare forward and the whole line, beside the chip's limit.

The weights are random: what they are does not change how long they take, and no model hub is needed.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.burst import burst, line_rate
from benchmarks.model import register
from benchmarks.stack import HOME, Stack, result, say, stack
from benchmarks.untrained import bert, texts
from classifier.checkpoint_folder import read_checkpoint
from classifier.classifier import Classifier, load_classifier
from sortline.logs import set_up_logging, silence_telemetry
from sortline.queue import Document
from sortline.settings import Settings

_TOKENS = 128
_LABELS = 77
_MATRIX = 8192
_INTAKES = 3


def main(device: str, count: int) -> None:
    """Measure and print one JSON line, or say in one line why that is not possible.

    Args:
        device: cuda; cpu tries the code where there is none.
        count: documents.
    """
    silence_telemetry()
    set_up_logging("WARNING")
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("bench-gpu: torch finds no CUDA device here; nothing was measured")
    settings = Settings(_env_file=None, device=device, engine="torch", data_dir=HOME / "gpu-model")
    folder = bert(settings.data_dir / "bert-base", {}, _LABELS, _TOKENS, "bert-base")
    sha256 = read_checkpoint(folder).sha256
    sent = texts(folder, _TOKENS, count)
    classifier = load_classifier(str(folder), sha256, settings)
    classifier.warm()
    forward = _forward_rate(classifier, sent)
    operations = _operations(classifier)
    limit = _matrix_rate(device) / operations
    say(f"bare forward {forward:,.0f} docs/s, arithmetic limit {limit:,.0f} docs/s; now the line")
    documents = [Document(f"gpu-{i}", text, "bench") for i, text in enumerate(sent)]
    with stack("gpu", device=device, engine="torch", intakes=_INTAKES) as made:
        register(made, str(folder), sha256)
        line, peak = line_rate(made, documents)
    say(f"the line, {_INTAKES} intakes: {line:,.0f} docs/s; now one process, and two workers of one process")
    with stack("gpu", device=device, engine="torch", intakes=1) as made:
        register(made, str(folder), sha256)
        one, _ = line_rate(made, documents)
        made.clear()
        two = _two_workers(made, documents)
    result(
        "gpu",
        documents=count,
        tokens=_TOKENS,
        intakes=_INTAKES,
        docs_per_s=round(line, 1),
        one_process_docs_per_s=round(one, 1),
        two_workers_docs_per_s=round(two, 1),
        forward_docs_per_s=round(forward, 1),
        limit_docs_per_s=round(limit, 1),
        ratio_to_forward=round(line / forward, 3),
        one_process_ratio_to_forward=round(one / forward, 3),
        two_workers_ratio_to_forward=round(two / forward, 3),
        forward_ratio_to_limit=round(forward / limit, 3),
        gflop_per_document=round(operations / 1e9, 2),
        peak_rss_mb=peak,
        engine=classifier.engine.name,
        device=torch.cuda.get_device_name() if device == "cuda" else device,
    )


def _two_workers(made: Stack, sent: list[Document]) -> float:
    with made.worker() as one, made.worker() as other:
        made.wait_ready(workers=2)
        return burst(made, [one, other], sent)


def _forward_rate(classifier: Classifier, sent: Sequence[str]) -> float:
    """Documents a second of forward passes alone, on batches that lie ready."""
    work = classifier.batches(classifier.prepare(sent))
    assert {batch.input_ids.shape[1] for batch in work} == {_TOKENS}
    began = time.perf_counter()
    for batch in work:
        classifier.forward(batch)
    return len(sent) / (time.perf_counter() - began)


def _operations(classifier: Classifier) -> float:
    """Floating-point operations of one document, counted by torch as it runs."""
    from torch.utils.flop_counter import FlopCounterMode

    rows = 8
    ids = np.full((rows, _TOKENS), 2000, np.int64)
    counter: Any = FlopCounterMode(display=False)
    with counter:
        classifier.engine.run(ids, np.ones_like(ids))
    return float(counter.get_total_flops()) / rows


def _matrix_rate(device: str) -> float:
    """Operations a second of large bf16 matrix products: what arithmetic this chip can be brought to."""
    import torch

    size = _MATRIX if device == "cuda" else _MATRIX // 8
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16)

    def seconds(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    seconds(5)
    return 2 * size**3 * 30 / min(seconds(30) for _ in range(3))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cuda", int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
