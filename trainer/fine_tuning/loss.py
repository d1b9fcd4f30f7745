"""What a fine-tuning makes small: the error on labels and, for a student, the distance from its teacher's answers."""

from collections.abc import Sequence

import numpy as np
import torch

from trainer.fine_tuning.job import Taught

_TEMPERATURE = 2.0  # softens both sides' answers, so that the labels that come second and third count
_BY_LABELS = 0.5  # the share of labels in what a student learns; where they are missing, its teacher says it all
_BY_VECTORS = 5.0  # the weight of the vectors' distance beside that of the answers


class Loss:
    """The loss of each document.

    With a teacher it is half cross-entropy with the label. The other half is the Kullback-Leibler divergence of the
    softened answers times the square of their temperature, so that gradients are of one size (Hinton and others,
    "Distilling the Knowledge in a Neural Network", 2015), and the squared distance of the vectors that the head is
    given, in variances of the teacher's, because they say more than the answers (Chen and others, "Knowledge
    Distillation with the Reused Teacher Classifier", CVPR 2022).

    Args:
        weights: of each label's documents, (labels,).
        smoothing: of the labels.
        teacher: what it gives for all training documents; None: there is no teacher.
    """

    def __init__(self, weights: torch.Tensor, smoothing: float, teacher: Taught | None) -> None:
        self._weights = weights
        self._cross_entropy = torch.nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="none", ignore_index=-1)
        self._teacher = teacher
        self.reads_vectors = teacher is not None and teacher.vectors.shape[1] > 0
        self._variance = 1.0
        if teacher is not None and self.reads_vectors:
            self._variance = max(float(teacher.vectors.var(axis=0, dtype=np.float32).mean()), 1e-9)

    def of(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        documents: Sequence[int],
        vectors: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Losses (rows,).

        Args:
            logits: (rows, labels).
            targets: (rows,), -1 for a document without a label.
            documents: their places among the training documents.
            vectors: (rows, d), what the head was given; needed if ``reads_vectors``.
        """
        labelled: torch.Tensor = self._cross_entropy(logits, targets) * self._weights[targets.clamp(min=0)]
        if self._teacher is None:
            return labelled
        rows = np.asarray(documents)
        taught = torch.from_numpy(self._teacher.logits[rows]).to(logits.device).float()
        distance = (
            torch.nn.functional.kl_div(
                torch.log_softmax(logits / _TEMPERATURE, dim=1),
                torch.log_softmax(taught / _TEMPERATURE, dim=1),
                reduction="none",
                log_target=True,
            ).sum(dim=1)
            * _TEMPERATURE**2
        )
        if vectors is not None and self.reads_vectors:
            its = torch.from_numpy(self._teacher.vectors[rows]).to(logits.device).float()
            distance = distance + _BY_VECTORS * (vectors - its).square().mean(dim=1) / self._variance
        return torch.where(targets < 0, distance, _BY_LABELS * labelled + (1 - _BY_LABELS) * distance)
