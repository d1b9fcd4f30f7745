"""What the variants of int8 cost and gain: noise, answers and processor time beside the whole model's."""

import random
import tempfile
import time
from pathlib import Path
from typing import get_args

from benchmarks.model import ensure_model
from benchmarks.stack import result, say, stack
from classifier.checkpoint_folder import read_checkpoint
from classifier.classifier import Classifier, assemble
from classifier.figures import Int8Variant
from classifier.store import model_store
from db.queries.labelled import labelled_documents
from db.session import session
from trainer.evaluation.form_evidence import expected_losses
from trainer.evaluation.int8_variants import most_noise, noise_of
from trainer.evaluation.quantise import make_int8

_TIMES = 5
_NOISE_ON = 300


def int8_variants() -> None:
    """`int8_variants`: the bench model in bf16 (or float32) and in each variant of int8, against torch float32.

    ``noise`` on 300 training texts, which chooses the variant, and ``noise_test`` on the test texts; ``differ``: share
    of test texts with another label; ``expected_loss`` on them, as the gate computes it; ``us``: microseconds of
    processor time a document, forward passes alone, one thread, the variants in turn, the fastest of 5 times each.
    ``most_noise``: the limit.
    """
    uri, sha256 = ensure_model()
    with stack("model", keep=True) as made, session(made.settings.postgres_url) as opened:
        settings, documents = (
            made.settings.model_copy(update={"device": "cpu", "threads": 1}),
            labelled_documents(opened),
        )
    stored = read_checkpoint(model_store(settings).fetch(uri, sha256), sha256)
    train = [document.text for document in documents if document.split == "train"]
    test = [document.text for document in documents if document.split == "test"]
    sample = random.Random(2).sample(train, min(_NOISE_ON, len(train)))
    reference = assemble(
        stored.folder, stored.description, settings.model_copy(update={"engine": "torch", "precision": "f32"})
    )
    usual = assemble(stored.folder, stored.description, settings)
    forms: dict[str, Classifier] = {usual.engine.name: usual}
    described = stored.description.model_copy(update={"form": "int8"})
    with tempfile.TemporaryDirectory(prefix="sortline-") as work:
        for variant in get_args(Int8Variant):
            say(f"quantising: {variant}")
            cache = settings.data_dir / "cache" / "openvino"
            folder = make_int8(stored.folder, Path(work) / variant, train, stored.description, cache, variant)
            forms[variant] = assemble(folder, described, settings)
    on_sample, on_test = reference.logits(sample), reference.logits(test)
    temperature = stored.description.calibration(reference.engine.name).temperature
    took = _microseconds(forms, test)
    for name, form in forms.items():
        answers = form.logits(test)
        result(
            "int8_variants",
            variant=name,
            noise=round(noise_of(on_sample, form.logits(sample)), 4),
            noise_test=round(noise_of(on_test, answers), 4),
            most_noise=round(most_noise(settings.gate_margin), 4),
            differ=round(float((answers.argmax(axis=1) != on_test.argmax(axis=1)).mean()), 4),
            expected_loss=round(float(expected_losses(on_test, answers, temperature).mean()), 5),
            us=round(took[name]),
        )


def _microseconds(forms: dict[str, Classifier], texts: list[str]) -> dict[str, float]:
    work = {name: form.batches(form.prepare(texts)) for name, form in forms.items()}
    took = dict.fromkeys(forms, float("inf"))
    for _ in range(_TIMES):
        for name, form in forms.items():
            began = time.process_time()
            for batch in work[name]:
                form.forward(batch)
            took[name] = min(took[name], (time.process_time() - began) * 1e6 / len(texts))
    return took
