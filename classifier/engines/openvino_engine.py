"""The encoder in OpenVINO, on a CPU.

Each core has one stream, which is one thread. So forward passes on different cores do not wait for each other, and a
thread that tokenises or commits takes the core of only one of them. Measured in docs/decisions.
"""

from pathlib import Path
from queue import LifoQueue
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from classifier.batching import ROWS_STEP
from classifier.checkpoint_folder import INT8
from classifier.engines.protocol import Outputs
from sortline.errors import CheckpointError
from sortline.logs import silence_telemetry

silence_telemetry()

import openvino  # noqa: E402

Precision = Literal["f32", "bf16"]

# OpenVINO caches what it prepared for each input shape. Without this limit a worker that has seen 500 shapes takes
# 440 MB more, and grows further.
_SHAPES_KEPT = 100

# The Python binding of OpenVINO 2026.4 deadlocks if the first two calls of a process overlap: one holds the GIL and
# waits for a C++ static to be initialised, while the other initialises it and waits for the GIL.
_first_use = Lock()


class OpenVinoEngine:
    """Runs a converted checkpoint on the processor.

    Args:
        model: the ``model.xml`` that `openvino_cache.converted` or the trainer's `quantise` made.
        precision: precision of the arithmetic, in an int8 form of the operations that are not int8; logits are float32.
        threads: number of cores to use, each with its own stream.
        quantised: whether the model is an int8 form.

    Raises:
        CheckpointError: OpenVINO can't read the model.
    """

    tokens_per_batch = 1024
    overhead = 96  # measured with the shapes that further passes have (docs/decisions/0043-shapes.md)
    slow_at_first = True  # it compiles kernels for each shape

    def __init__(self, model: Path, precision: Precision, threads: int, quantised: bool = False) -> None:
        self.name = INT8 if quantised else f"openvino-{precision}"
        self.parallel = threads
        options = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # With pinning, streams of two processes on one machine would share a core and leave another idle.
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": str(_SHAPES_KEPT),
        }
        try:
            compiled = openvino.Core().compile_model(model, "CPU", options)
        except RuntimeError as error:
            raise CheckpointError(f"OpenVINO can't read {model}: {str(error).splitlines()[0]}") from None
        # Those quantised before vectors and hidden means were outputs lack them.
        self._given = len(compiled.outputs)
        self._requests: LifoQueue[openvino.InferRequest] = LifoQueue()
        for _ in range(threads):
            self._requests.put(compiled.create_infer_request())
        with _first_use:
            first = self.run(np.zeros((1, 2), np.int64), np.ones((1, 2), np.int64))
        self.width, self.hidden = first.vectors.shape[1], first.hidden.shape[1]

    def run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Outputs:
        """The outputs of token ids (rows, length) and their mask; thread-safe."""
        rows = len(input_ids)
        more = -rows % ROWS_STEP if rows > ROWS_STEP else 0
        if (
            more
        ):  # rows like the first one: OpenVINO prepares each new shape, which takes as long as some hundred tokens
            input_ids, attention_mask = (
                np.concatenate([each, np.repeat(each[:1], more, axis=0)]) for each in (input_ids, attention_mask)
            )
        request = self._requests.get()
        try:
            request.infer({0: input_ids, 1: attention_mask}, share_inputs=True)
            found = [np.array(request.get_output_tensor(place).data[:rows], np.float32) for place in range(self._given)]
            return Outputs(*found, *[np.empty((rows, 0), np.float32)] * (len(Outputs._fields) - self._given))
        finally:
            self._requests.put(request)


def processor_has_bf16() -> bool:
    """Whether the processor computes bf16 natively (avx512_bf16, amx_bf16), so that it is faster than f32."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
