"""What the classifier asks of an engine."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """Runs the encoder.

    ``name``: library and precision, as ``openvino-bf16``; ``parallel``: how many threads may call `logits` at
    once with gain; ``tokens_per_batch``: token budget it runs best with; ``overhead``: tokens that take as
    long as a forward pass costs beside its tokens.
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
