"""Does confidence mean what it says, and is the promise on accepted documents kept? On real and on made documents."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.model import ensure_model
from benchmarks.stack import result, say, stack
from classifier.base_models import base_model_folder
from classifier.calibration import fit_temperature, softmax
from classifier.classifier import load_classifier
from classifier.decision import decide
from classifier.engines.choose import cores
from db.queries.labelled import Labelled, labelled_documents
from db.session import session
from trainer.data.training_data import label_indices, select
from trainer.evaluation.cross_validation import cross_validate
from trainer.evaluation.judge import fair_answers
from trainer.evaluation.metrics import expected_calibration_error
from trainer.evaluation.thresholds import NOTHING, Held, choose_thresholds

_TARGET, _CONFIDENCE = 0.01, 0.95
_DIVISIONS = 200
_REPETITIONS = 1000
_VALIDATION, _CALIBRATION = 500, 2000  # documents of a repetition on made documents

Floats = NDArray[np.float64]
Part = tuple[NDArray[np.float32], NDArray[np.int64]]


def calibration() -> None:
    """`calibration`: 200 divisions of the held-out documents into two halves; 1,000 repetitions of a known risk.

    As in a training, the validation documents fit the temperature and plan the tests, together with cross-validated
    answers to the training documents. The others that are held out,
    calibration and test documents, are divided: one half stands for the calibration part and proves the threshold;
    where nothing is proved, nothing is accepted, and nothing accepted counts as kept. ``kept_share``: how often the
    errors found among accepted documents of the other half are at most the target. That is harsher than the promise,
    which is about the risk and not about the errors that some hundred documents happen to hold. ``ece`` is that of
    the test documents; ``ece_of_chance``: what it would be if each confidence were exactly right.
    """
    validation, others, (logits, targets), trained = _held_out()
    temperature = fit_temperature(*validation)
    divisions = [
        _divide(validation, trained, others, temperature, np.random.default_rng(seed)) for seed in range(_DIVISIONS)
    ]
    right = logits.argmax(axis=1) == targets
    kept = {name: _kept_share(case) for name, case in _CASES.items()}
    say(f"share of {_REPETITIONS} repetitions that kept the promise, by case: {kept}")
    result(
        "calibration",
        documents=len(others[1]),
        validation=len(validation[1]),
        ece_before=_rounded(expected_calibration_error(softmax(logits).max(axis=1), right)),
        ece=_rounded(expected_calibration_error(softmax(logits, temperature).max(axis=1), right)),
        ece_of_chance=_rounded(_ece_of_chance(logits, targets)),
        risk_target=_TARGET,
        kept_share=_rounded(np.mean([each.kept for each in divisions])),
        proved_share=_rounded(np.mean([each.proved for each in divisions])),
        kept_share_of_proved=_rounded(np.mean([each.kept for each in divisions if each.proved] or [True])),
        coverage=_rounded(np.mean([each.accepted / each.documents for each in divisions])),
        risk=_rounded(sum(each.errors for each in divisions) / max(1, sum(each.accepted for each in divisions))),
        synthetic_kept_share=min(kept.values()),
    )


class _Division(NamedTuple):
    """What one half's threshold does on the other half."""

    documents: int
    accepted: int
    errors: int
    proved: bool

    @property
    def kept(self) -> bool:
        return self.errors <= _TARGET * self.accepted


def _held_out() -> tuple[Part, Part, Part, Held]:
    """Logits and targets of the benchmark model's validation documents, of all others held out, and of test alone.

    Last, cross-validated answers to the training documents.
    """
    uri, sha256 = ensure_model()
    with stack("model", keep=True) as made:
        classifier = load_classifier(uri, sha256, made.settings)
        with session(made.settings.postgres_url) as opened:
            data = select(labelled_documents(opened))
        if len(data.test) < 1000:
            say(f"banking77 isn't here: the shipped sample has {len(data.test)} test documents, too few for a proof")
        labels = list(zip(classifier.checkpoint.label_ids, classifier.checkpoint.labels, strict=True))

        def part(documents: list[Labelled]) -> Part:
            logits = classifier.logits([document.text for document in documents])
            return logits, label_indices(documents, labels)

        test, tested = part(data.test)
        logits, targets = part(data.calibration)
        others = np.concatenate([logits, test]), np.concatenate([targets, tested])
        base, cleaning = base_model_folder(made.settings.base_model), classifier.checkpoint.cleaning
        trained = fair_answers(
            cross_validate(data, base, cleaning, made.settings.device, cores(made.settings.threads)), data
        )
        return part(data.validation), others, (test, tested), trained


def _divide(validation: Part, trained: Held, others: Part, temperature: float, draw: np.random.Generator) -> _Division:
    logits, targets = others
    proving, unused = np.array_split(draw.permutation(len(targets)), 2)
    planned = Held(softmax(validation[0], temperature), validation[1])

    def held(chosen: NDArray[np.int64]) -> Held:
        return Held(softmax(logits[chosen], temperature), targets[chosen])

    label_ids = list(range(logits.shape[1]))
    found = choose_thresholds(planned, held(proving), label_ids, _TARGET, _CONFIDENCE, NOTHING, trained)
    vector = np.array([found.label_thresholds.get(each, found.threshold) for each in label_ids], np.float32)
    label_index, _, accept = decide(held(unused).probabilities, vector)
    wrong = label_index != targets[unused]
    return _Division(len(unused), int(accept.sum()), int((accept & wrong).sum()), found.guarantee.proved)


def _ece_of_chance(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """The mean ECE of answers that are right exactly as often as their confidence says: what chance alone makes.

    Consistency resampling of Bröcker and Smith, "Increasing the Reliability of Reliability Diagrams", Weather and
    Forecasting 22, 2007.
    """
    draw = np.random.default_rng(1)
    confidence = softmax(logits, fit_temperature(logits, targets)).max(axis=1)
    drawn = [draw.random(len(confidence)) < confidence for _ in range(200)]
    return float(np.mean([expected_calibration_error(confidence, right) for right in drawn]))


class _Case(NamedTuple):
    """Documents with confidences spread evenly from 0.5 to 1.

    ``error``: chance that an answer of a confidence is wrong; ``risk``: mean of ``error`` from a threshold to 1.
    """

    error: Callable[[Floats], Floats]
    risk: Callable[[float], float]


def _sure_and_wrong(threshold: float) -> float:
    below = max(0.0, 0.9 - threshold)
    return (0.03 * min(0.1, 1 - threshold) + 0.003 * below) / (1 - threshold)


_CASES = {
    "the surer the better": _Case(lambda c: (1 - c) / 10, lambda t: (1 - t) / 20),
    "surest where it errs most": _Case(lambda c: np.where(c > 0.9, 0.03, 0.003), _sure_and_wrong),
    "confidence says nothing, risk just over the target": _Case(
        lambda c: np.full(c.shape, 1.001 * _TARGET), lambda _: 1.001 * _TARGET
    ),
}


def _kept_share(case: _Case) -> float:
    """Share of repetitions in which the true risk of the chosen threshold is at most the target."""
    kept = 0
    for seed in range(_REPETITIONS):
        draw = np.random.default_rng(seed)
        validation, tested = _made(case, _VALIDATION, draw), _made(case, _CALIBRATION, draw)
        threshold = choose_thresholds(validation, tested, [1, 2], _TARGET, _CONFIDENCE, NOTHING).threshold
        kept += threshold == NOTHING or case.risk(threshold) <= _TARGET
    return kept / _REPETITIONS


def _made(case: _Case, count: int, draw: np.random.Generator) -> Held:
    """Documents whose likeliest label is the first."""
    confidence = 1 - draw.random(count) / 2
    wrong = draw.random(count) < case.error(confidence)
    return Held(np.column_stack([confidence, 1 - confidence]).astype(np.float32), wrong.astype(np.int64))


def _rounded(figure: float | np.floating) -> float:
    return round(float(figure), 4)
