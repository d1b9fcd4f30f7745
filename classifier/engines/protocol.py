"""What the classifier needs of an engine."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Outputs(NamedTuple):
    """What a forward pass gives of each row or document.

    ``logits``: (n, labels). ``vectors``: (n, d), what the last layer of the head reads. ``hidden``: (n, h), the mean
    over the tokens of what the encoder's last layer but one gives, for the fit alone. d and h are 0 where the
    checkpoint doesn't give them.
    """

    logits: NDArray[np.float32]
    vectors: NDArray[np.float32]
    hidden: NDArray[np.float32]


class Engine(Protocol):
    """Runs the encoder.

    ``name``: library and precision, such as ``openvino-bf16``; ``parallel``: the number of threads that can usefully
    call `run` at once; ``tokens_per_batch``: the token budget with which it is fastest; ``overhead``: what a
    further forward pass costs, in tokens that would take as long to compute; ``width`` and ``hidden``: numbers of a
    vector, and of the hidden mean, 0: it gives none; ``slow_at_first``: whether the first pass of a shape takes longer
    than later ones.
    """

    @property
    def name(self) -> str: ...
    @property
    def parallel(self) -> int: ...
    @property
    def tokens_per_batch(self) -> int: ...
    @property
    def overhead(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def slow_at_first(self) -> bool: ...

    def run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Outputs:
        """The outputs of token ids (rows, length) and their mask; thread-safe."""
        ...
