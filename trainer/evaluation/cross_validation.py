"""Answers to training documents by models that never saw them: which labels are doubtful, how errors are distributed.

Five folds of a multinomial logistic regression on sentence embeddings of the pretrained encoder: fine-tuning five
times would take hours.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Loaded before a training has threads: if two load scikit-learn at once, one of them finds half of it.
from sklearn.linear_model import LogisticRegression

from classifier.cleaning import Cleaning
from db.queries.labelled import Labelled
from trainer.data import bounds
from trainer.data.training_data import TrainingData, label_indices, true_label_ids
from trainer.fine_tuning.sentence_embeddings import Matrix, sentence_embeddings

Indices = NDArray[np.int64]

MOST_LABELS = 1_000  # the code that uses them holds tables of labels by labels
_FOLDS = 5
_INVERSE_PENALTY = 10.0  # scikit-learn's C


class Unseen(NamedTuple):
    """Documents, and probabilities (n, labels) that models gave them which never saw them."""

    documents: list[Labelled]
    probabilities: Matrix


def cross_validate(
    data: TrainingData, base: Path, cleaning: Cleaning, device: str, threads: int, embeddings: Matrix | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Unseen:  # fmt: skip
    """The training documents, judged by 5-fold cross-validation, near-duplicates in one fold.

    Only the newest 20,000 (greatest ids) are judged, and with more than 1,000 labels none. A document whose label
    occurs in no other fold is left out, because no model could have predicted that label.

    Args:
        data: its ``labels`` give the order of the columns.
        base: folder of the pretrained encoder, in Hugging Face format.
        cleaning: of the texts, as the encoder is trained with.
        device: that the encoder runs on: auto, cpu or cuda.
        threads: of a CPU.
        embeddings: of the training documents, (n, d), which the fine-tuning may have computed; None: they are computed.
        on_progress: called after each fold with how many documents are judged, and of how many.

    Raises:
        TrainingError: the encoder or its tokenizer can't be loaded.
        CheckpointError: the encoder's config or tokenizer can't be read.
    """
    if len(data.labels) > MOST_LABELS:
        return Unseen([], np.empty((0, len(data.labels)), np.float32))
    places = sorted(range(len(data.train)), key=lambda place: data.train[place].id)[-bounds.CROSS_VALIDATED :]
    newest = [data.train[place] for place in places]
    given = label_indices(newest, data.labels)
    if embeddings is None:
        found = sentence_embeddings([cleaning(document.text) for document in newest], base, device, threads)
    else:
        found = embeddings[places]
    probabilities, judged = _out_of_fold(found, given, folds_of(newest), len(data.labels), on_progress)
    return Unseen([newest[i] for i in np.flatnonzero(judged).tolist()], probabilities[judged])


def folds_of(documents: Sequence[Labelled]) -> Indices:
    """Fold of each document, (n,): near-duplicates share one, and each label is spread as evenly as that allows.

    Groups are dealt to the folds in turn, ordered by label, which works for any number of documents;
    scikit-learn's StratifiedGroupKFold needs as many examples of some label as there are folds.
    """
    labels: dict[int, int] = {}
    for document, label_id in zip(documents, true_label_ids(documents).tolist(), strict=True):
        labels.setdefault(_group(document), label_id)
    dealt = {group: rank % _FOLDS for rank, group in enumerate(sorted(labels, key=lambda each: (labels[each], each)))}
    return np.array([dealt[_group(document)] for document in documents], np.int64)


def _group(document: Labelled) -> int:
    return document.id if document.group_id is None else document.group_id


def _out_of_fold(
    embeddings: Matrix, given: Indices, folds: Indices, labels: int, on_progress: Callable[[int, int], None]
) -> tuple[Matrix, NDArray[np.bool_]]:
    """Probabilities (n, labels) of other folds' models, and for which documents (n,) another fold has their label."""
    probabilities = np.zeros((len(given), labels), np.float32)
    judged = np.zeros(len(given), np.bool_)
    for fold in np.unique(folds):
        inside, others = folds == fold, folds != fold
        known = np.unique(given[others])
        if len(known) < 2:  # nothing to tell apart
            continue
        model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=200, tol=1e-3)
        model.fit(embeddings[others], given[others])
        probabilities[np.ix_(inside, known)] = model.predict_proba(embeddings[inside])
        judged[inside] = np.isin(given[inside], known)
        on_progress(int(np.isin(folds, np.arange(fold + 1)).sum()), len(given))
    return probabilities, judged
