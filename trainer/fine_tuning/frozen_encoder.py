"""A sentence encoder that learns nothing more: texts to vectors, for a head that is fitted on them."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from classifier.head import Matrix
from trainer.fine_tuning.job import Job
from trainer.fine_tuning.trainee import last_linear, load_trainee, pad

_TOKENS = 4096  # of a forward pass


def frozen_encoder(job: Job) -> PreTrainedModel:
    """The encoder of a job with a new head of its labels, ready to give vectors on one core: workers need the others.

    Raises:
        TrainingError: it can't be loaded.
    """
    torch.set_num_threads(1)
    model = load_trainee(job)
    model.train(False)
    return model


def vectors(model: PreTrainedModel, documents: Sequence[Sequence[int]], labels: int, pad_id: int) -> Matrix:
    """What the last layer of the head reads of each document (n, d).

    Args:
        documents: token ids, special ones included.
        labels: the number of labels.
    """
    head = last_linear(model, labels)
    found = np.zeros((len(documents), head.in_features), np.float32)
    seen: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    order = sorted(range(len(documents)), key=lambda i: len(documents[i]))
    size = max(1, _TOKENS // max(map(len, documents), default=1))
    for start in range(0, len(order), size):
        part = order[start : start + size]
        ids, mask = pad([np.asarray(documents[i], np.int64) for i in part], pad_id)
        with torch.inference_mode():
            model(input_ids=ids, attention_mask=mask)
        found[part] = seen.pop().float().numpy()
    hook.remove()
    return found
