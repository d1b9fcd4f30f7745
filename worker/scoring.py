"""Texts to predictions outside the intake: for re-scoring, shadows and the check of a model just loaded."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.classifier import Classifier, Prepared
from worker.commit import margin


class Scored(NamedTuple):
    """The windows of each text, probabilities (n, labels), vectors (n, d) and fit (n,)."""

    prepared: list[Prepared]
    probabilities: NDArray[np.float32]
    vectors: NDArray[np.float32]
    fit: NDArray[np.float32]


def score(classifier: Classifier, texts: Sequence[str]) -> Scored:
    """Score texts, one forward pass after another."""
    prepared = classifier.prepare(texts)
    work = classifier.batches(prepared)
    pooled = classifier.pool(len(texts), work, [classifier.forward(batch) for batch in work])
    probabilities = np.ascontiguousarray(classifier.probabilities(pooled.logits), dtype=np.float32)
    return Scored(prepared, probabilities, pooled.vectors, classifier.fit(pooled))


def prediction_rows(
    classifier: Classifier,
    form: str,
    revision: int | None,
    ids: Sequence[int],
    prepared: Sequence[Prepared],
    probabilities: NDArray[np.float32],
    fit: NDArray[np.float32],
) -> list[dict[str, Any]]:
    """Prediction rows of stored documents, as `db.queries.rescore` and `db.queries.shadows` take them.

    Args:
        form: that of the model version; ``revision``: of its head, None: the checkpoint's own.
        probabilities: (n, labels), in the order of the documents.
        fit: (n,); NaN: unknown.
    """
    index, confidence, accepted = classifier.decide(probabilities, fit)
    margins = margin(probabilities)
    return [
        {
            "document_id": id_, "label": classifier.checkpoint.label_ids[int(index[i])],
            "confidence": float(confidence[i]), "probabilities": probabilities[i], "fit": float(fit[i]),
            "decision": "accept" if accepted[i] else "review", "windows": len(prepared[i].windows),
            "truncated": prepared[i].truncated, "margin": float(margins[i]),
            "unknown_share": prepared[i].unknown_share, "form": form, "revision": revision,
        }
        for i, id_ in enumerate(ids)
    ]  # fmt: skip
