"""What fine-tuning takes, beside Hugging Face's Trainer on the same machine in the same run."""

import tempfile
import time
from pathlib import Path

import torch

from benchmarks.fine_tuning import in_float32, training_documents
from benchmarks.hf_baseline import EPOCHS, MEASURED_ACCURACY, StepClock, hf_trainer
from benchmarks.stack import result, say, stack
from classifier.checkpoint import SnapshotReference
from db.queries import tuned_parameters
from db.session import session
from trainer.data.training_data import label_indices
from trainer.fine_tuning.fine_tune import Machine, fine_tune
from trainer.fine_tuning.job import Job
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.prepare import prepare_job

_WARM, _TIMED = 5, 60
_PADDED = 128


def train() -> None:
    """`train`: seconds of fine-tuning, with its validations and checkpoints, against two plain Trainers.

    Those take as many epochs of the same documents, in float32 and batches of 32: one pads every document to 128
    tokens, one as each batch needs. Both are timed over 60 steps after 5, and extrapolated. ``accuracy`` is that
    of the model in torch float32 on the test texts; ``baseline_accuracy`` that of one full plain run, measured
    once (docs/decisions/0007-training-speed.md). ``tuning_gain`` is told on validation, by the newest study.
    """
    data, settings, base = training_documents()
    with tempfile.TemporaryDirectory(prefix="sortline-") as name:
        work = Path(name)
        job, description = prepare_job(base, Parameters(epochs=EPOCHS), data, SnapshotReference(), work / "t")
        began = time.perf_counter()
        learned = fine_tune(job, work / "run", Machine.of(settings), lambda _: None, lambda epoch: say(str(epoch)))
        seconds = time.perf_counter() - began
        logits = in_float32(work / "run", work / "t", description, settings).logits([each.text for each in data.test])
        dynamic, padded = (_seconds_a_step(job, pad_to, work) for pad_to in (None, _PADDED))
    steps = EPOCHS * -(-len(data.train) // 32)
    truth = label_indices(data.test, data.labels)
    result(
        "train",
        documents=len(data.train),
        steps=steps,
        seconds=round(seconds, 1),
        step_s=round(seconds / steps, 3),
        fine_tuning_s=learned.learning.seconds,
        padded_step_s=round(padded, 3),
        dynamic_step_s=round(dynamic, 3),
        speedup_padded=round(padded * steps / seconds, 2),
        speedup_dynamic=round(dynamic * steps / seconds, 2),
        accuracy=round(float((logits.argmax(axis=1) == truth).mean()), 4),
        baseline_accuracy=MEASURED_ACCURACY,
        tuning_gain=_tuning_gain(),
    )


def _seconds_a_step(job: Job, pad_to: int | None, folder: Path) -> float:
    torch.set_num_threads(2)
    say(f"a plain Trainer, {'padded as each batch needs' if pad_to is None else f'padded to {pad_to}'}")
    clock = StepClock(_WARM)
    hf_trainer(job, pad_to, 5e-5, folder, [clock], steps=_WARM + _TIMED).train()
    return clock.seconds


def _tuning_gain() -> float | None:
    """Macro-F1 that the newest study of the benchmarks' documents brought on validation."""
    with stack("train", keep=True) as made, session(made.settings.postgres_url) as opened:
        return tuned_parameters.gain(opened)
