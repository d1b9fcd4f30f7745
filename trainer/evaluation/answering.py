"""A classifier's answers to many texts, some at a time: so it can be told how far that is, and little is kept."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.classifier import Classifier
from classifier.engines.protocol import Outputs

OnProgress = Callable[[int, int], None]

_AT_ONCE = 2_000


class OnStage(Protocol):
    """Called with a stage in words when it begins, and where it can be counted with how far it is: ``done``, ``of``."""

    def __call__(self, stage: str, **progress: int) -> None: ...


def silently(done: int, of: int) -> None:
    """No progress is told."""


def outputs_of(classifier: Classifier, texts: Sequence[str], on_progress: OnProgress = silently) -> Outputs:
    """Uncalibrated logits (n, labels), vectors (n, d) and hidden means (n, h) of texts, which may be none.

    Args:
        on_progress: called with how many are answered, and of how many.
    """
    return Outputs(*map(np.concatenate, zip(*_parts(classifier, texts, on_progress), strict=True)))


def logits_of(
    classifier: Classifier, texts: Sequence[str], on_progress: OnProgress = silently
) -> NDArray[np.float32]:  # fmt: skip
    """The logits alone, (n, labels)."""
    return np.concatenate([part.logits for part in _parts(classifier, texts, on_progress)])


def _parts(classifier: Classifier, texts: Sequence[str], on_progress: OnProgress) -> Iterator[Outputs]:
    for start in range(0, max(1, len(texts)), _AT_ONCE):
        some = texts[start : start + _AT_ONCE]
        yield classifier.outputs(some)
        on_progress(start + len(some), len(texts))
