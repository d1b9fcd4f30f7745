"""Do a model's probabilities say what rounding its weights costs? On real texts, against their labels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from benchmarks.stack import result, say
from benchmarks.texts import banking77
from classifier.calibration import fit_temperature, softmax
from trainer.evaluation.form_evidence import expected_losses

_VALIDATION = 490
_BITS = (6, 5, 4, 3)
_ROUNDINGS = 60

Matrix = NDArray[np.float64]
Logits = NDArray[np.float32]
Indices = NDArray[np.int64]


class Linear(NamedTuple):
    """A linear classifier, and the texts and labels that it is tested on: weights (words, labels), bias (labels,)."""

    weights: Matrix
    bias: Matrix
    words: csr_matrix
    labels: Indices
    temperature: float

    def logits(self, weights: Matrix) -> Logits:
        return np.asarray(self.words @ weights + self.bias, np.float32)


def form_rounding() -> None:
    """`form_rounding`: what rounded weights are expected to lose, and what they lose by the labels of 3,080 texts.

    The model is TF-IDF with logistic regression on banking77, whose temperature is fitted on 490 training texts that it
    did not learn from. A form has its weights rounded up or down by chance to a number of bits; 60 forms each.
    ``by_bits``, in points: how many labels differ, the mean expected loss, the mean loss by the labels, and the
    standard error of the difference between these two, over texts.
    """
    try:
        train, test = banking77()
    except OSError as error:
        say(f"banking77 is missing: {error}")
        return
    model = _learnt(train, test)
    reference = model.logits(model.weights)
    right = reference.argmax(axis=1) == model.labels
    by_bits = {}
    for bits in _BITS:
        forms = _rounded(model, bits)
        expected = np.mean([expected_losses(reference, form, model.temperature) for form in forms], axis=0)
        lost = np.mean([right.astype(np.float64) - (form.argmax(axis=1) == model.labels) for form in forms], axis=0)
        differ = np.mean([form.argmax(axis=1) != reference.argmax(axis=1) for form in forms])
        by_bits[str(bits)] = {
            "differ": round(100 * float(differ), 2),
            "expected": round(100 * float(expected.mean()), 2),
            "lost": round(100 * float(lost.mean()), 2),
            "error": round(100 * float((expected - lost).std() / len(lost) ** 0.5), 2),
        }
    confidence = softmax(reference, model.temperature).max(axis=1).mean()
    result(
        "form_rounding",
        documents=len(test),
        accuracy=round(float(right.mean()), 4),
        mean_confidence=round(float(confidence), 4),
        by_bits=by_bits,
    )


def _learnt(train: list[tuple[str, str]], test: list[tuple[str, str]], seed: int = 0) -> Linear:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    names = sorted({label for _, label in train})
    truth = np.array([names.index(label) for _, label in train])
    order = np.random.default_rng(seed).permutation(len(train))
    held_out, learnt = order[:_VALIDATION], order[_VALIDATION:]
    tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    found = LogisticRegression(C=20.0, max_iter=300).fit(
        tfidf.fit_transform([train[i][0] for i in learnt]), truth[learnt]
    )
    labels = np.array([names.index(label) for _, label in test])
    model = Linear(found.coef_.T, found.intercept_, tfidf.transform([text for text, _ in test]), labels, 1.0)
    validation = model._replace(words=tfidf.transform([train[i][0] for i in held_out]))
    return model._replace(temperature=fit_temperature(validation.logits(model.weights), truth[held_out]))


def _rounded(model: Linear, bits: int, seed: int = 1) -> list[Logits]:
    """Logits of forms whose weights are whole multiples of a step for each label, up or down by chance."""
    draw = np.random.default_rng(seed)
    step = np.abs(model.weights).max(axis=0) / (2 ** (bits - 1) - 1)
    steps = model.weights / step
    return [model.logits(np.floor(steps + draw.random(steps.shape)) * step) for _ in range(_ROUNDINGS)]
