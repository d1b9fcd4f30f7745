"""What the classifier needs of an engine."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """Runs the encoder.

    ``name``: library and precision, such as ``openvino-bf16``; ``parallel``: the number of threads that can usefully
    call `logits` at once; ``tokens_per_batch``: the token budget with which it is fastest; ``overhead``: fixed cost of
    a forward pass, in tokens that would take as long to compute.
    """

    @property
    def name(self) -> str: ...
    @property
    def parallel(self) -> int: ...
    @property
    def tokens_per_batch(self) -> int: ...
    @property
    def overhead(self) -> int: ...

    def logits(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (rows, labels) of token ids (rows, length) and their mask; thread-safe."""
        ...
