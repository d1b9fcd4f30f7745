"""Documents whose human label is likely wrong: a list for people to look at. No label is ever changed here.

Confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
Journal of Artificial Intelligence Research 70, 2021), by cleanlab, on probabilities of models that never saw the
document.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from classifier.decision import FOREIGN
from trainer.data.training_data import label_indices
from trainer.evaluation.cross_validation import MOST_LABELS, Unseen

log = logging.getLogger(__name__)

_MOST_SUSPECTS = 1_000
# Of 5 % labels of banking77 that were changed at random, this rule found 92 % among 647 suspects (C = 10; 1 and 30 were
# no better), prune_by_noise_rate 80 % among 584; of those changed to one of the three nearest labels, 85 % among 653.
_RULE = "prune_by_class"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A document whose label is likely wrong.

    ``score`` is cleanlab's label quality, here the probability (0 to 1) that a model gives to the given label: a
    low one says that the label is likely wrong.
    """

    document_id: int
    given_label_id: int
    suggested_label_id: int
    score: float

    def as_item(self, names: Mapping[int, str]) -> dict[str, Any]:
        """As it waits at the desk, given the labels' names by id."""
        given, suggested = names[self.given_label_id], names[self.suggested_label_id]
        note = f"Labelled {given}; a model that never saw this document predicts {suggested}."
        return {
            "document_id": self.document_id, "score": self.score, "label_id": self.suggested_label_id, "note": note,
        }  # fmt: skip


def find_label_errors(labels: Sequence[tuple[int, str]], judged: Sequence[Unseen]) -> list[Suspect]:
    """Documents whose human label is likely wrong, the likeliest first, at most 1,000.

    Each set is examined on its own, because confident learning compares a document's probabilities with the mean
    ones of its label. With more than 1,000 labels there is no search.

    Args:
        labels: id and name of each column of the probabilities.
        judged: training documents by cross-validation, held-out ones by the fine-tuned model. Foreign documents are
            left out: the model has no label to suggest.
    """
    if len(labels) > MOST_LABELS:
        log.warning("no search for label errors: there are %d labels, and the limit is %d", len(labels), MOST_LABELS)
        return []
    found = [suspect for each in judged for suspect in _suspects(each, labels)]
    return sorted(found, key=attrgetter("score", "document_id"))[:_MOST_SUSPECTS]


def _suspects(judged: Unseen, labels: Sequence[tuple[int, str]]) -> list[Suspect]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    given = label_indices(judged.documents, labels)
    known = given != FOREIGN
    documents = [judged.documents[i] for i in np.flatnonzero(known).tolist()]
    given, probabilities = given[known], judged.probabilities[known]
    if len(np.unique(given)) < 2:  # cleanlab takes no less
        return []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "May not flag all label issues")  # of labels with one example
        issues = find_label_issues(given, probabilities, filter_by=_RULE, n_jobs=1)
    scores = get_label_quality_scores(given, probabilities, method="self_confidence")
    suggested = probabilities.argmax(axis=1)
    return [
        Suspect(documents[i].id, labels[given[i]][0], labels[suggested[i]][0], float(scores[i]))
        for i in np.flatnonzero(issues).tolist()
    ]
