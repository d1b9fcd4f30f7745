"""A classifier of a sentence encoder that starts as good as its sentence embeddings.

The usual classifier reads the first token through a pooler. A sentence encoder such as all-MiniLM-L6-v2 was trained
through the mean of its tokens, and its pooler was not trained at all: that start would lose most of what it knows.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sortline.logs import silence_telemetry

silence_telemetry()

import torch  # noqa: E402

_OVER_FIRST = 4.0
_INVERSE_PENALTY = 0.1
_ITERATIONS = 50
_PASSES = 62  # over the features; torch's own limit for so many iterations. The last iteration may need some more
_LOGITS_AT_ONCE = 2**24


def add_mean(model: Any) -> None:
    """Let the head of a sentence encoder read the mean of its tokens, with nothing but standard layers.

    A layer is added in which the first token attends to all tokens alike: queries are zero, values pass through,
    ``16 * mean + first`` is normalised, and the feed-forward part adds nothing. All of it may learn. The head's dense
    layer passes its input through.

    Args:
        model: a sequence classifier of transformers, of a type in `trainer.fine_tuning.pooling`.
    """
    layers = model.base_model.encoder.layer
    layer = type(layers[-1])(model.config, layer_idx=len(layers))
    for each in layer.modules():
        model._init_weights(each)
    attention = layer.attention
    head = getattr(model.base_model, "pooler", None) or model.classifier
    with torch.no_grad():
        attention.self.query.weight.zero_()
        for dense, factor in (
            (attention.self.value, _OVER_FIRST),
            (attention.output.dense, _OVER_FIRST),
            (layer.output.dense, 0.0),
            (head.dense, 1.0),
        ):
            dense.weight.copy_(factor * torch.eye(*dense.weight.shape))
            dense.bias.zero_()
    layers.append(layer)
    model.config.num_hidden_layers = len(layers)


def probed(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    weights: torch.Tensor,
    on_progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> torch.nn.Linear:
    """A linear layer (d, labels) fitted on fixed features (n, d): multinomial logistic regression.

    The start that "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution" of Kumar and
    others, ICLR 2022, calls LP-FT.

    Args:
        targets: (n,) indices of labels.
        weights: of each label's documents, (labels,).
        on_progress: called with the passes over the features that are done, and with the most that it takes.
    """
    labels = len(weights)
    x, y = torch.from_numpy(features), torch.from_numpy(targets)
    layer = torch.nn.Linear(x.shape[1], labels)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=_ITERATIONS, max_eval=_PASSES, line_search_fn="strong_wolfe"
    )
    rows = max(1, _LOGITS_AT_ONCE // labels)
    passes = itertools.count(1)

    def closure() -> float:
        optimizer.zero_grad()
        penalty = layer.weight.square().sum() / (2 * _INVERSE_PENALTY * len(x))
        penalty.backward()  # type: ignore[no-untyped-call]
        total = float(penalty.detach())
        for start in range(0, len(x), rows):
            some = y[start : start + rows]
            losses = torch.nn.functional.cross_entropy(layer(x[start : start + rows]), some, reduction="none")
            loss = (losses * weights[some]).sum() / len(x)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        on_progress(min(next(passes), _PASSES), _PASSES)
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return layer
