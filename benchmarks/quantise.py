"""What int8 costs and gains: the same model in torch float32 and in its int8 form, on the same test documents."""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.model import ensure_model
from benchmarks.stack import result, say, stack
from classifier.checkpoint_folder import read_checkpoint
from classifier.classifier import Classifier, ForwardBatch, Outputs, assemble
from classifier.store import model_store
from db.queries.labelled import Labelled, labelled_documents
from db.session import session
from trainer.evaluation.engine_gate import judge_form
from trainer.evaluation.gate import ALPHA
from trainer.evaluation.quantise import make_int8

_TIMES = 4
_ENGINES = (
    {"engine": "torch", "precision": "f32", "device": "cpu"},
    {"engine": "openvino", "precision": "auto", "device": "cpu"},
)


def quantise() -> None:
    """`quantise`: accuracy and documents a second of torch float32, of the int8 form, and of the engine between.

    Cleaned, tokenised, sorted by length over all documents and laid out in batches before the clock starts; the
    engines in turn, the fastest of 4 times each. ``speedup`` is over torch float32, ``speedup_over_otherwise``
    over the engine that serves without int8; ``served``: whether the gate lets int8 serve.
    """
    uri, sha256 = ensure_model()
    with stack("model", keep=True) as made, session(made.settings.postgres_url) as opened:
        settings, documents = made.settings, labelled_documents(opened)
    store = model_store(settings)
    stored = read_checkpoint(store.fetch(uri, sha256), sha256)
    train = [document.text for document in documents if document.split == "train"]
    test = [document for document in documents if document.split == "test"]
    with tempfile.TemporaryDirectory(prefix="sortline-") as name:
        began = time.perf_counter()
        cache = settings.data_dir / "cache" / "openvino"
        int8_folder = make_int8(stored.folder, Path(name) / "int8", train, stored.description, cache)
        say(f"quantised in {time.perf_counter() - began:.1f} s")
        reference, otherwise = (
            assemble(stored.folder, stored.description, settings.model_copy(update=choice)) for choice in _ENGINES
        )
        form = stored.description.model_copy(update={"form": "int8"})
        int8 = assemble(int8_folder, form, settings.model_copy(update=_ENGINES[1]))
    logits, rates = _measure([reference, otherwise, int8], [document.text for document in test])
    targets = _targets(test, stored.description.label_ids)
    verdict = judge_form(
        logits[0],
        logits[2],
        targets,
        temperature=stored.description.calibration(reference.engine.name).temperature,
        margin=settings.gate_margin,
        alpha=ALPHA,
        otherwise=otherwise.engine.name,
        ms_otherwise=1000 / rates[1],
        ms_form=1000 / rates[2],
    ).stored()
    say(f"{int8.engine.name}: {verdict['reason']}")
    result(
        "quantise",
        documents=len(test),
        accuracy_fp32=round(verdict["accuracy_reference"], 4),
        accuracy_int8=round(verdict["accuracy_quantised"], 4),
        expected_loss=round(verdict["mean_loss"], 4),
        loss_bound=round(verdict["loss_bound"], 4),
        agreement=round(verdict["agreement"], 4),
        docs_per_s_fp32=round(rates[0]),
        docs_per_s_int8=round(rates[2]),
        speedup=round(rates[2] / rates[0], 2),
        otherwise=otherwise.engine.name,
        speedup_over_otherwise=round(verdict["speedup"], 2),
        served=verdict["served"],
    )


def _measure(classifiers: list[Classifier], texts: list[str]) -> tuple[list[NDArray[np.float32]], list[float]]:
    """Logits (n, labels) of each, and the most documents a second that each did."""
    logits: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(classifiers)
    rates = [0.0] * len(classifiers)
    for classifier in classifiers:
        classifier.warm()
    for _ in range(_TIMES):
        for i, classifier in enumerate(classifiers):
            work = classifier.batches(classifier.prepare(texts))
            began = time.perf_counter()
            found = _forward_all(classifier, work)
            rates[i] = max(rates[i], len(texts) / (time.perf_counter() - began))
            logits[i] = classifier.pool(len(texts), work, found).logits
    return logits, rates


def _forward_all(classifier: Classifier, work: list[ForwardBatch]) -> list[Outputs]:
    if classifier.parallel == 1:  # torch is a sixth slower in a thread that is not the main one
        return [classifier.forward(batch) for batch in work]
    with ThreadPoolExecutor(classifier.parallel) as pool:
        return list(pool.map(classifier.forward, work))


def _targets(documents: list[Labelled], label_ids: list[int]) -> NDArray[np.int64]:
    index: dict[int | None, int] = {label_id: i for i, label_id in enumerate(label_ids)}
    return np.array([index.get(document.label_id, -1) for document in documents], np.int64)
