"""Explanations: which words of a text speak for a label, and which against it.

Captum computes integrated gradients (Sundararajan, Taly, Yan: "Axiomatic attribution for deep networks", ICML 2017)
along the straight line in the embedding layer from a text without words to the text. The weights of all words should
add up to the words' effect on the label's score; the completeness error is by how much they miss it. The reasons are in
docs/decisions/0010-explanations.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from captum.attr import IntegratedGradients
from numpy.typing import NDArray

from classifier import batching
from classifier.checkpoint import Checkpoint
from classifier.classifier import window_tokenizer
from classifier.engines.encoder import last_linear, read_encoder
from classifier.head import Head
from classifier.tokens import Prepared, Span
from classifier.words import places, word_at, words
from sortline.errors import InvalidInputError

GOOD_ERROR = 0.05
MOST_WINDOWS = 2
_STEPS = (24, 48, 96, 192)
_TOKENS_AT_ONCE = 1024
_LEAST_GAIN = 1e-3  # a smaller gain counts as this much in relative errors


@dataclass(frozen=True, slots=True)
class Explanation:
    """Words and their weights: positive weights speak for the label, negative ones against it.

    ``words``: start and end (exclusive) in the text as given, and the weight, in order. ``added``: words that cleaning
    inserted or changed, which have no place in that text, and their weights. ``gain``: the words' effect on the label's
    score. ``completeness_error``: by how much the weights miss the gain, as a share of it. ``steps``: points of the
    integral. ``explained``: how many of the text's ``windows`` are explained, those with the greatest scores.
    """

    words: list[tuple[int, int, float]]
    added: list[tuple[str, float]]
    gain: float
    completeness_error: float
    steps: int
    windows: int
    explained: int


class Explainer:
    """Explains the answers of a checkpoint, in float32 on the CPU, whatever engine serves it.

    Args:
        folder: a verified checkpoint folder.
        checkpoint: its description.

    Raises:
        CheckpointError: the folder can't be loaded.
    """

    def __init__(self, folder: Path, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._tokenizer = window_tokenizer(folder, checkpoint)
        self._encoder = read_encoder(folder)
        # transformers' types don't declare this as a method.
        self._embeddings: torch.nn.Module = self._encoder.model.get_input_embeddings()  # type: ignore[operator]
        self._gradients = IntegratedGradients(self._scores)
        self._last = last_linear(self._encoder.model, len(checkpoint.label_ids))
        self._own = None if self._last is None else Head(*(each.numpy().copy() for each in _parts(self._last)))

    def explain(self, text: str, label_id: int, layer: Head | None = None) -> Explanation:
        """Weigh the words of a text for one of the checkpoint's labels.

        If the text has more than two windows, it explains the two that score highest for the label.

        Args:
            layer: the last layer that answered, where it was not the checkpoint's own.

        Raises:
            InvalidInputError: the checkpoint has no such label, or its model can't have such a layer.
        """
        if label_id not in self.checkpoint.label_ids:
            raise InvalidInputError(f"the model does not know label {label_id}")
        target = self.checkpoint.label_ids.index(label_id)
        self._answer_by(layer or self._own)
        cleaned = self.checkpoint.cleaning(text)
        windows, spans = self._tokenizer.prepare([cleaned])[0].windows, self._tokenizer.spans(cleaned)
        tokens: list[tuple[Span, float]] = []
        gain, most_steps = 0.0, 0
        chosen = self._chosen(windows, target)
        for number in chosen:
            weights, difference, steps = self._weigh(windows[number], spans[number], target)
            tokens += zip(spans[number], (weights / len(windows)).tolist(), strict=True)
            gain += difference / len(windows)
            most_steps = max(most_steps, steps)
        error = _relative(sum(weight for _, weight in tokens), gain)
        found, added = self._by_word(text, cleaned, tokens)
        return Explanation(found, added, gain, error, most_steps, len(windows), len(chosen))

    def _answer_by(self, layer: Head | None) -> None:
        if layer is None:
            return  # the model has no such layer, so it answers as it is
        if self._last is None or self._last.weight.shape != layer.weight.shape:
            raise InvalidInputError("the last layer that answered does not belong to this model")
        for part, values in zip(_parts(self._last), layer, strict=True):
            part.copy_(torch.from_numpy(values))

    def _chosen(self, windows: Sequence[list[int]], target: int) -> list[int]:
        """Indices of the windows to explain, in order."""
        if len(windows) <= MOST_WINDOWS:
            return list(range(len(windows)))
        work = batching.batches([Prepared([window]) for window in windows], _TOKENS_AT_ONCE, 0, self._tokenizer.pad_id)
        scores = np.empty(len(windows))
        with torch.inference_mode():
            for batch in work:
                found = self._encoder(torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask))
                scores[batch.documents] = found[0][:, target].numpy()
        return sorted(np.argsort(-scores, kind="stable")[:MOST_WINDOWS].tolist())

    def _weigh(self, window: list[int], spans: Sequence[Span], target: int) -> tuple[NDArray[np.float64], float, int]:
        """Weights (tokens,) of a window, the difference that they should add up to, and the number of steps."""
        text, blank = self._embedded(window, spans)
        with torch.inference_mode():
            full, empty = self._scores(torch.cat([text, blank]))[:, target].tolist()
        for steps in _STEPS:
            weights = self._gradients.attribute(
                text, blank, target=target, n_steps=steps, method="gausslegendre",
                internal_batch_size=max(1, _TOKENS_AT_ONCE // len(window)),
            ).sum(dim=2)[0].double().numpy()  # fmt: skip
            if _relative(float(weights.sum()), full - empty) <= GOOD_ERROR:
                break
        return weights, full - empty, steps

    def _embedded(self, window: list[int], spans: Sequence[Span]) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (1, tokens, width) of a window, and of that window without words; special tokens stay."""
        ids = torch.tensor([window])
        special = torch.tensor([[first == last for first, last in spans]])
        blank = torch.where(special, ids, self._tokenizer.pad_id)
        with torch.no_grad():
            return self._embeddings(ids), self._embeddings(blank)

    def _scores(self, embedded: torch.Tensor) -> torch.Tensor:
        """Logits (rows, labels) of embeddings (rows, tokens, width)."""
        logits: torch.Tensor = self._encoder.model(inputs_embeds=embedded).logits
        return logits

    def _by_word(
        self, text: str, cleaned: str, tokens: Sequence[tuple[Span, float]]
    ) -> tuple[list[tuple[int, int, float]], list[tuple[str, float]]]:
        """Weights of the words of the text, and of the words that are only in the cleaned text."""
        spans = words(cleaned)
        starts = [first for first, _ in spans]
        weights: dict[int, float] = {}
        for (first, last), weight in tokens:
            skipped = len(cleaned[first:last]) - len(cleaned[first:last].lstrip())
            index = word_at(spans, starts, first + skipped) if first < last else None
            if index is not None:
                weights[index] = weights.get(index, 0.0) + weight
        reach = max(weights, default=-1) + 1
        where = places(text, cleaned, spans[:reach], self.checkpoint.cleaning)
        found: dict[Span, float] = {}
        added: list[tuple[str, float]] = []
        for index, weight in sorted(weights.items()):
            place = where[index]
            if place is None:
                added.append((cleaned[slice(*spans[index])], weight))
            else:
                found[place] = found.get(place, 0.0) + weight
        return [(first, last, weight) for (first, last), weight in sorted(found.items())], added


def _relative(total: float, gain: float) -> float:
    """By how much a sum of weights misses what it should be, as a share of it."""
    return abs(total - gain) / max(abs(gain), _LEAST_GAIN)


def _parts(layer: torch.nn.Linear) -> tuple[torch.Tensor, torch.Tensor]:
    return layer.weight.data, layer.bias.data
