"""What a model must show on test documents before it accepts anything: the least evidence that counts.

"Not shown to be bad" is not "good": docs/decisions/0029-evidence.md.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from classifier.figures import Evidence
from sortline.counted import FEW
from trainer.evaluation.metrics import exact_interval

LEAST_TEST_DOCUMENTS = FEW  # if all are right, that is 83 % at least (exact, 95 % two-sided)
_ALPHA = 0.05  # one-sided
_MOST_DOCUMENTS = 10_000
_NOTHING = "there are no test documents, so nothing shows how good it is"

_LabelIds = NDArray[np.int64]


def evidence_of_test(truth: _LabelIds, predicted: _LabelIds, majority: _LabelIds) -> Evidence:
    """Whether 20 documents and more show a model to be right more often than the most frequent label alone.

    By the exact test of McNemar (Psychometrika 12, 1947), one-sided, 95 %.

    Args:
        truth: label ids (n,) of the test documents.
        predicted: the model's answers, (n,).
        majority: the answers of the most frequent label, (n,).
    """
    count = len(truth)
    right, simple = predicted == truth, majority == truth
    gained, lost = int((right & ~simple).sum()), int((simple & ~right).sum())
    correct = int(right.sum())
    if not count:
        return Evidence(enough=False, documents=0, right=0, missing=LEAST_TEST_DOCUMENTS, sentence=_NOTHING)
    low, high = exact_interval(correct, count)
    measured = (
        f"{correct:,} of {count:,} test document{'s' if count != 1 else ''} {'are' if correct != 1 else 'is'} right "
        f"(95 %: {100 * low:.0f} to {100 * high:.0f} %)"
    )
    enough = count >= LEAST_TEST_DOCUMENTS and _is_better(gained, lost)
    missing: int | None = None
    if enough:
        sentence = f"{measured}: more than the most frequent label alone gets right"
    elif count < LEAST_TEST_DOCUMENTS:
        missing = LEAST_TEST_DOCUMENTS - count
        sentence = f"{measured}, but fewer than {LEAST_TEST_DOCUMENTS} documents show too little"
    else:
        missing = _missing(gained, lost, count)
        sentence = (
            f"{measured}, and the most frequent label alone gets {int(simple.sum()):,} right: nothing shows that the "
            "model has learnt anything"
        )
    return Evidence(enough=enough, documents=count, right=correct, missing=missing, sentence=sentence)


def _is_better(gained: int, lost: int) -> bool:
    return bool(binom.sf(gained - 1, gained + lost, 0.5) <= _ALPHA)


def _missing(gained: int, lost: int, count: int) -> int | None:
    """How many more test documents would show it, if the shares gained and lost stay the same."""
    if gained <= lost:
        return None
    grown = np.arange(count + 1, _MOST_DOCUMENTS)
    more, less = np.floor(gained * grown / count), np.ceil(lost * grown / count)
    shown = np.flatnonzero(binom.sf(more - 1, more + less, 0.5) <= _ALPHA)
    return int(grown[shown[0]]) - count if len(shown) else None
