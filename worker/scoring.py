"""Texts to probabilities outside the intake: for re-scoring, shadows and the check of a model just loaded."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.classifier import Classifier, Prepared
from worker.commit import margin


def score(classifier: Classifier, texts: Sequence[str]) -> tuple[list[Prepared], NDArray[np.float32]]:
    """Windows of each text, and probabilities (n, labels), computed one forward pass after another."""
    prepared = classifier.prepare(texts)
    work = classifier.batches(prepared)
    logits = [classifier.forward(batch) for batch in work]
    return prepared, np.ascontiguousarray(classifier.probabilities(len(texts), work, logits), dtype=np.float32)


def prediction_rows(
    classifier: Classifier,
    form: str,
    ids: Sequence[int],
    prepared: Sequence[Prepared],
    probabilities: NDArray[np.float32],
) -> list[dict[str, Any]]:
    """Prediction rows of stored documents, as `db.queries.rescore` and `db.queries.shadows` take them.

    Args:
        form: that of the model version.
        probabilities: (n, labels), in the order of the documents.
    """
    index, confidence, accepted = classifier.decide(probabilities)
    margins = margin(probabilities)
    return [
        {
            "document_id": id_, "label": classifier.checkpoint.label_ids[int(index[i])],
            "confidence": float(confidence[i]), "probabilities": probabilities[i],
            "decision": "accept" if accepted[i] else "review", "windows": len(prepared[i].windows),
            "truncated": prepared[i].truncated, "margin": float(margins[i]),
            "unknown_share": prepared[i].unknown_share, "form": form,
        }
        for i, id_ in enumerate(ids)
    ]  # fmt: skip
