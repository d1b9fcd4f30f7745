"""Which engine serves a model: the int8 form must prove itself against the model itself in float32."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import fit_temperature
from classifier.checkpoint import Checkpoint
from classifier.checkpoint_folder import INT8
from classifier.classifier import Classifier, assemble
from classifier.figures import FormVerdict
from sortline.errors import TrainingError
from sortline.settings import Settings
from trainer.data.training_data import TrainingData, label_indices
from trainer.evaluation.engine_gate import judge_form
from trainer.evaluation.gate import ALPHA
from trainer.evaluation.quantise import quantise
from trainer.evaluation.timing import milliseconds

log = logging.getLogger(__name__)

Logits = NDArray[np.float32]

AGREEMENT_DOCUMENTS = 4_500
_REFERENCE = {"engine": "torch", "precision": "f32"}


@dataclass(frozen=True)
class Serving:
    """The classifier that is to serve, and what was measured to find it.

    ``logits``: by engine name those (n, labels) of `TrainingData.held_out`, the model itself under `torch-f32`;
    ``engines``: what the gate of engines says of each.
    """

    classifier: Classifier
    logits: dict[str, Logits]
    engines: dict[str, FormVerdict]


def choose_serving(
    folder: Path, description: Checkpoint, data: TrainingData, unlabelled: Sequence[str], settings: Settings
) -> Serving:
    """Load a draft on this machine's engine, make its int8 form, and let the better of the two serve.

    Args:
        folder: the draft; the int8 form is added to it, and removed again if it does not serve.
        unlabelled: texts of traffic, which show what the int8 form loses; those that train are left out.
    """
    usual = assemble(folder, description, settings)
    reference = usual
    if usual.engine.name != "torch-f32":
        reference = assemble(folder, description, settings.model_copy(update=_REFERENCE))
    engines: dict[str, FormVerdict] = {}
    quantised = _quantised(folder, description, data, usual, settings, engines)
    chosen = [reference] if reference is usual else [reference, usual]
    if quantised is not None:
        chosen.append(quantised)
        engines[INT8] = _judge(reference, usual, quantised, data, unlabelled, settings.gate_margin)
    if not engines.get(INT8, FormVerdict()).served:
        quantised = None
        shutil.rmtree(folder / INT8, ignore_errors=True)
    engines.setdefault(usual.engine.name, FormVerdict(served=quantised is None, reason="this machine's usual engine"))
    texts = [document.text for document in data.held_out]
    logits = {each.engine.name: _logits(each, texts) for each in chosen if each in (reference, usual, quantised)}
    return Serving(quantised or usual, logits, engines)


def _quantised(
    folder: Path,
    description: Checkpoint,
    data: TrainingData,
    usual: Classifier,
    settings: Settings,
    engines: dict[str, FormVerdict],
) -> Classifier | None:
    """The int8 form on its engine; None if it isn't wanted or can't be made, which is noted."""
    if not usual.engine.name.startswith("openvino") or settings.precision != "auto":
        return None
    if not settings.quantise or find_spec("nncf") is None:
        why = "nncf is not installed" if settings.quantise else "the setting SORTLINE_QUANTISE is off"
        engines[INT8] = FormVerdict(served=False, reason=f"not made: {why}")
        return None
    try:
        texts, cache = [document.text for document in data.train], settings.data_dir / "cache" / "openvino"
        quantise(folder, texts, description, cache)
    except TrainingError as error:
        log.warning("%s", error)
        engines[INT8] = FormVerdict(served=False, reason=f"not made: {error}")
        return None
    return assemble(folder, description.model_copy(update={"engine": INT8}), settings)


def _judge(
    reference: Classifier,
    usual: Classifier,
    quantised: Classifier,
    data: TrainingData,
    unlabelled: Sequence[str],
    margin: float,
) -> FormVerdict:
    texts = [document.text for document in data.validation]
    trained = [document.text for document in data.train]
    known = {*texts, *trained}
    others = [text for text in dict.fromkeys(unlabelled) if text not in known]
    others = others[: max(0, AGREEMENT_DOCUMENTS - len(texts))]
    labels = label_indices(data.validation, data.labels)
    ms = milliseconds([usual, quantised], texts or others or trained)
    both = [_logits(each, [*texts, *others]) for each in (reference, quantised)]
    return judge_form(
        both[0],
        both[1],
        np.concatenate([labels, np.full(len(others), -1, np.int64)]),
        temperature=fit_temperature(both[0][: len(texts)], labels),
        margin=margin,
        alpha=ALPHA,
        otherwise=usual.engine.name,
        ms_otherwise=ms[0],
        ms_form=ms[1],
    )


def _logits(classifier: Classifier, texts: Sequence[str]) -> Logits:
    if not texts:
        return np.empty((0, len(classifier.checkpoint.labels)), np.float32)
    return classifier.logits(texts)
