"""What a fine-tuning makes small: the error on labels and, for a student, the distance from its teacher's answers."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

_TEMPERATURE = 2.0  # softens both sides' answers, so that the labels that come second and third count
_BY_LABELS = 0.5  # the share of labels in what a student learns; where they are missing, its teacher says it all


class Loss:
    """The loss of each document.

    With a teacher it is half cross-entropy with the label, half the Kullback-Leibler divergence of the softened answers
    times the square of their temperature, so that both halves' gradients are of one size (Hinton and others,
    "Distilling the Knowledge in a Neural Network", 2015).

    Args:
        weights: of each label's documents, (labels,).
        smoothing: of the labels.
        teacher: its logits (n, labels) of all training documents; None: there is no teacher.
    """

    def __init__(self, weights: torch.Tensor, smoothing: float, teacher: NDArray[np.float16] | None) -> None:
        self._weights = weights
        self._cross_entropy = torch.nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="none", ignore_index=-1)
        self._teacher = teacher

    def of(self, logits: torch.Tensor, targets: torch.Tensor, documents: Sequence[int]) -> torch.Tensor:
        """Losses (rows,).

        Args:
            logits: (rows, labels).
            targets: (rows,), -1 for a document without a label.
            documents: their places among the training documents.
        """
        labelled: torch.Tensor = self._cross_entropy(logits, targets) * self._weights[targets.clamp(min=0)]
        if self._teacher is None:
            return labelled
        taught = torch.from_numpy(self._teacher[np.asarray(documents)]).to(logits.device).float()
        divergence = (
            torch.nn.functional.kl_div(
                torch.log_softmax(logits / _TEMPERATURE, dim=1),
                torch.log_softmax(taught / _TEMPERATURE, dim=1),
                reduction="none",
                log_target=True,
            ).sum(dim=1)
            * _TEMPERATURE**2
        )
        return torch.where(targets < 0, divergence, _BY_LABELS * labelled + (1 - _BY_LABELS) * divergence)
