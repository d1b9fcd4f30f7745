"""Documents that no label fits: how well the fit tells them, and what one score of confidence and fit keeps."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from benchmarks.foreign_world import Foreign, World, foreign_world
from benchmarks.new_label_loop import loop
from benchmarks.stack import result, say
from classifier.calibration import fit_temperature, softmax
from classifier.decision import FOREIGN, decide, score
from classifier.engines.protocol import Outputs
from classifier.fit import FitModel
from trainer.evaluation.fit_model import Sample, calibrated, make_fit
from trainer.evaluation.fit_weight import choose_weight
from trainer.evaluation.metrics import auroc
from trainer.evaluation.thresholds import NOTHING, Held, choose_thresholds

_TARGET, _CONFIDENCE = 0.01, 0.95
_DIVISIONS = 200
_FOREIGN_SHARE = 0.2  # of the traffic, half of it near and half far
_DECIDED = 100
_DRAWS = 5  # of the decided ones
_BATCH, _REPEATED = 64, 200

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Split = Callable[[Foreign, np.random.Generator], list[Indices]]


def open_world() -> None:
    """`open_world`: 27 labels of banking77 are foreign (near), so is AG News (far); a model of the other 50 answers.

    ``near_auroc``, ``near_auprc`` and ``far_auroc`` are those of the fit where no foreign document was decided, on test
    texts (AUPRC with foreign ones as positives); ``_100``: with 100 near training texts decided, mean of five draws;
    ``_probability``: of the largest probability. Then 200 divisions: known held-out documents in two halves, a fifth of
    each half's documents foreign, half near and half far, of groups (labels, kinds of news) that the other half does
    not have. One half proves thresholds at 1 %, planned on validation documents, which hold foreign ones of its groups
    too, and on cross-validated answers, as in a training; the other half is traffic. ``kept_share``: how often the
    errors among what is accepted of it are at most 1 %; ``coverage``; ``coverage_oracle``: what the best threshold for
    that traffic would accept; ``_before``: with confidence alone, and thresholds that are chosen without foreign
    documents; ``_alike``: where both halves have the same groups, which is all that is proved. ``coverage_known`` and
    ``coverage_known_before``: the same where no traffic is foreign. ``accuracy_known`` is that of the model without any
    of this too, because the fit changes no training and no label. ``us_per_document``: processor time of the fit.
    ``documents_to_proposal``, ``accuracy_new_label``: as in ``new_label_loop``, which is played at the end.
    """
    world = foreign_world()
    model = make_fit(world.training, world.validation, world.pretrained).model
    assert model is not None
    told = _told(model, world)
    decided = [_told(_deciding(model, world, seed), world) for seed in range(_DRAWS)]
    temperature = fit_temperature(world.validation.outputs.logits, world.validation.targets)
    plain = [softmax(each.logits, temperature).max(axis=1) for each in _asked(world)]
    say("dividing")
    divisions = [_divide(model, world, np.random.default_rng(seed), _split_groups) for seed in range(_DIVISIONS)]
    after, before = ([each[place] for each in divisions] for place in (0, 1))
    alike = [_divide(model, world, np.random.default_rng(seed), _split_evenly)[0] for seed in range(_DIVISIONS)]
    say("playing the loop from foreign documents to a new label")
    taught = loop()
    result(
        "open_world",
        known=len(world.test.targets),
        near=len(world.near.groups),
        far=len(world.far.groups),
        near_auroc=_rounded(told.near_auroc),
        near_auprc=_rounded(told.near_auprc),
        far_auroc=_rounded(told.far_auroc),
        near_auroc_100=_rounded(np.mean([each.near_auroc for each in decided])),
        near_auprc_100=_rounded(np.mean([each.near_auprc for each in decided])),
        far_auroc_100=_rounded(np.mean([each.far_auroc for each in decided])),
        near_auroc_probability=_rounded(_auroc(plain[0], plain[1])),
        far_auroc_probability=_rounded(_auroc(plain[0], plain[2])),
        risk_target=_TARGET,
        kept_share=_rounded(np.mean([each.kept for each in after])),
        coverage=_rounded(np.mean([each.coverage for each in after])),
        coverage_oracle=_rounded(np.mean([each.oracle for each in after])),
        risk=_rounded(sum(each.errors for each in after) / max(1, sum(each.accepted for each in after))),
        fit_weight=_rounded(np.mean([each.fit_weight for each in after])),
        kept_share_before=_rounded(np.mean([each.kept for each in before])),
        coverage_before=_rounded(np.mean([each.coverage for each in before])),
        risk_before=_rounded(sum(each.errors for each in before) / max(1, sum(each.accepted for each in before))),
        kept_share_alike=_rounded(np.mean([each.kept for each in alike])),
        coverage_alike=_rounded(np.mean([each.coverage for each in alike])),
        coverage_oracle_alike=_rounded(np.mean([each.oracle for each in alike])),
        coverage_known=_rounded(np.mean([each.coverage_known for each in after])),
        coverage_known_before=_rounded(np.mean([each.coverage_known for each in before])),
        accuracy_known=_rounded(world.accuracy),
        us_per_document=round(_microseconds(model, world.test.outputs), 1),
        documents_to_proposal=taught["documents_to_proposal"],
        accuracy_new_label=taught["accuracy_new_label"],
    )


class _Told(NamedTuple):
    near_auroc: float
    near_auprc: float
    far_auroc: float


def _asked(world: World) -> tuple[Outputs, Outputs, Outputs]:
    return world.test.outputs, world.near.outputs, world.far.outputs


def _told(model: FitModel, world: World) -> _Told:
    known, near, far = (model.fit(each) for each in _asked(world))
    is_foreign = np.repeat([0, 1], [len(known), len(near)])
    precision = average_precision_score(is_foreign, -np.concatenate([known, near]))
    return _Told(_auroc(known, near), float(precision), _auroc(known, far))


def _auroc(known: Floats, foreign: Floats) -> float:
    found = auroc(np.concatenate([known, foreign]), np.repeat([True, False], [len(known), len(foreign)]))
    assert found is not None
    return found


def _deciding(model: FitModel, world: World, seed: int) -> FitModel:
    """The model that 100 decided near training texts make."""
    chosen = np.random.default_rng(seed).choice(len(world.near_training.groups), _DECIDED, replace=False)
    return calibrated(model, world.near_training.only(chosen), world.validation)[0]


class _Division(NamedTuple):
    """What one half's thresholds do on the other half, and on the known documents of it."""

    coverage: float
    accepted: int
    errors: int
    oracle: float
    coverage_known: float
    fit_weight: float

    @property
    def kept(self) -> bool:
        return self.errors <= _TARGET * self.accepted


def _divide(model: FitModel, world: World, draw: np.random.Generator, split: Split) -> tuple[_Division, _Division]:
    """One division: with one score and foreign documents, and as it was before."""
    known = _joined(world.calibration, world.test)
    halves = np.array_split(draw.permutation(len(known.targets)), 2)
    near, far = split(world.near, draw), split(world.far, draw)
    fitting, testing = zip(*(_a_quarter(draw.permutation(each[0])) for each in (near, far)), strict=True)
    validation = _mixed(world.validation, world, fitting, draw)
    proving = _mixed(_places(known, halves[0]), world, testing, draw)
    traffic = _mixed(_places(known, halves[1]), world, (near[1], far[1]), draw)
    fitted, validated = calibrated(model, Outputs(*(each[:0] for each in validation.outputs)), validation)
    fits = (validated, fitted.fit(proving.outputs), fitted.fit(traffic.outputs))
    after = _proved(validation, proving, traffic, fits, world.cross_validated)
    planned, proved = (each.only(each.targets != FOREIGN) for each in (validation, proving))
    return after, _proved(planned, proved, traffic, None, world.cross_validated)


def _split_groups(foreign: Foreign, draw: np.random.Generator) -> list[Indices]:
    """Places of foreign documents, their groups divided into two halves."""
    groups = draw.permutation(np.unique(foreign.groups))
    return [np.flatnonzero(np.isin(foreign.groups, half)) for half in np.array_split(groups, 2)]


def _split_evenly(foreign: Foreign, draw: np.random.Generator) -> list[Indices]:
    """Places of foreign documents in two halves, which have the same groups."""
    return np.array_split(draw.permutation(len(foreign.groups)), 2)


def _a_quarter(places: Indices) -> tuple[Indices, Indices]:
    """A quarter of some places, and the rest."""
    return places[: len(places) // 4], places[len(places) // 4 :]


def _mixed(known: Sample, world: World, places: Sequence[Indices], draw: np.random.Generator) -> Sample:
    """Known documents among which a fifth are foreign."""
    each_kind = round(len(known.targets) * _FOREIGN_SHARE / (1 - _FOREIGN_SHARE) / 2)
    mixed = known
    for foreign, of_half in zip((world.near, world.far), places, strict=True):
        outputs = foreign.only(draw.choice(of_half, each_kind, replace=False))
        mixed = _joined(mixed, Sample(outputs, np.full(each_kind, FOREIGN)))
    return mixed


def _places(sample: Sample, chosen: Indices) -> Sample:
    return Sample(Outputs(*(each[chosen] for each in sample.outputs)), sample.targets[chosen])


def _joined(first: Sample, second: Sample) -> Sample:
    outputs = Outputs(*(np.concatenate(each) for each in zip(first.outputs, second.outputs, strict=True)))
    return Sample(outputs, np.concatenate([first.targets, second.targets]))


def _proved(
    validation: Sample, proving: Sample, traffic: Sample, fits: tuple[Floats, Floats, Floats] | None, trained: Held
) -> _Division:
    """What thresholds do that are planned and proved as in a training.

    Args:
        fits: of each sample's documents; None: the confidence alone decides.
        trained: cross-validated answers to training documents.
    """
    temperature = fit_temperature(validation.outputs.logits, validation.targets)
    samples = (validation, proving, traffic)
    probabilities = [softmax(each.outputs.logits, temperature) for each in samples]
    confidences = [each.max(axis=1) for each in probabilities]
    wrong = [found.argmax(axis=1) != each.targets for found, each in zip(probabilities, samples, strict=True)]
    weight = 0.0 if fits is None else choose_weight(confidences[0], fits[0], wrong[0])
    scores = [score(confidence, None if fits is None else fits[i], weight) for i, confidence in enumerate(confidences)]
    planned, proved = (Held(probabilities[i], samples[i].targets, scores[i]) for i in range(2))
    labels = list(range(probabilities[0].shape[1]))
    found = choose_thresholds(planned, proved, labels, _TARGET, _CONFIDENCE, NOTHING, trained)
    least = np.array([found.label_thresholds.get(each, found.threshold) for each in labels], np.float32)
    accepted = decide(probabilities[2], least, None if fits is None else fits[2], weight).accept
    known = traffic.targets != FOREIGN
    return _Division(
        float(accepted.mean()), int(accepted.sum()), int((accepted & wrong[2]).sum()), _oracle(scores[2], wrong[2]),
        float(accepted[known].mean()), weight,
    )  # fmt: skip


def _oracle(scores: Floats, wrong: NDArray[np.bool_]) -> float:
    """The greatest share that a threshold accepts with at most the target of errors."""
    falling = np.argsort(-scores, kind="stable")
    taken = np.arange(1, len(wrong) + 1)
    may = np.append(scores[falling][1:] < scores[falling][:-1], True)  # a threshold tells equal scores apart never
    kept = may & (np.cumsum(wrong[falling]) <= _TARGET * taken)
    return float(taken[kept].max() / len(wrong)) if kept.any() else 0.0


def _microseconds(model: FitModel, outputs: Outputs) -> float:
    """Processor time of the fit, a document, in batches, with one thread, as in a worker."""
    batch = Outputs(*(each[:_BATCH] for each in outputs))
    with threadpool_limits(1):
        model.fit(batch)
        began = time.process_time()
        for _ in range(_REPEATED):
            model.fit(batch)
        return 1e6 * (time.process_time() - began) / (_REPEATED * len(batch.logits))


def _rounded(figure: float | np.floating) -> float:
    return round(float(figure), 4)
