"""Fine-tuning as one would write it: Hugging Face's Trainer, float32, batches of 32, nothing else set.

``python -m benchmarks.hf_baseline`` trains fully, padded as long as each batch needs, and prints the accuracy on
banking77's test texts: a quarter of an hour and more on 2 cores, so the figure is kept in
docs/decisions/0007-training-speed.md and not measured at every benchmark.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fine_tuning import training_documents
from benchmarks.stack import result, say
from classifier.base_tokenizer import training_tokenizer
from classifier.checkpoint import SnapshotReference
from sortline.logs import silence_telemetry
from trainer.data.training_data import label_indices
from trainer.fine_tuning.job import Examples, Job
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.prepare import prepare_job

silence_telemetry()

import torch  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

EPOCHS, BATCH = 5, 32
# The plain run's accuracy, and the command that measured it: docs/decisions/0007-training-speed.md.
MEASURED_ACCURACY = 0.9075


def hf_trainer(
    job: Job, pad_to: int | None, learning_rate: float, folder: Path, callbacks: list[TrainerCallback], steps: int = -1
) -> Trainer:
    """A plain Trainer on the job's examples.

    Args:
        pad_to: tokens that every document is padded to; None: as long as its batch needs.
        steps: most of them; -1: as many as the epochs take.
    """
    model = AutoModelForSequenceClassification.from_pretrained(job.base, num_labels=len(job.labels))
    tokenizer = AutoTokenizer.from_pretrained(job.base)
    padding: dict[str, Any] = {"padding": True} if pad_to is None else {"padding": "max_length", "max_length": pad_to}
    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH,
        use_cpu=not torch.cuda.is_available(), learning_rate=learning_rate, max_steps=steps, save_strategy="no",
        logging_strategy="no", report_to=[], disable_tqdm=True, seed=13,
    )  # fmt: skip
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=_Rows(job.train),
        data_collator=DataCollatorWithPadding(tokenizer, **padding),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)  # standard output belongs to the results
    return trainer


class StepClock(TrainerCallback):
    """Seconds a step, after some to warm up."""

    def __init__(self, warm: int, done: Callable[[int], None] = lambda _: None) -> None:
        self.warm, self.steps, self.began, self.seconds, self.done = warm, 0, 0.0, 0.0, done

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.steps += 1
        self.done(self.steps)
        if self.steps == self.warm:
            self.began = time.perf_counter()
        if self.steps > self.warm:
            self.seconds = (time.perf_counter() - self.began) / (self.steps - self.warm)


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples.targets)

    def __getitem__(self, i: int) -> dict[str, Any]:
        ids = list(map(int, self.examples.documents[i]))
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": self.examples.targets[i]}


def accuracy(model: torch.nn.Module, test: Examples) -> float:
    """Share of test documents that get their label, in float32."""
    model.eval()
    right = 0
    for start in range(0, len(test.documents), 64):
        rows = test.documents[start : start + 64]
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        with torch.inference_mode():
            predicted = model(input_ids=ids, attention_mask=mask).logits.argmax(dim=1).numpy()
        right += int((predicted == np.array(test.targets[start : start + 64])).sum())
    return right / len(test.documents)


def _job() -> tuple[Job, Examples]:
    """The fine-tuning of the benchmarks' documents, and the tokenised test documents."""
    data, _, base = training_documents()
    with tempfile.TemporaryDirectory(prefix="sortline-") as name:
        folder = Path(name)
        job, description = prepare_job(base, Parameters(), data, SnapshotReference(), folder)
        tokenizer = training_tokenizer(folder, base.folder, description.max_length)
        prepared = tokenizer.prepare([description.cleaning(each.text) for each in data.test])
    return job, Examples([each.windows[0] for each in prepared], label_indices(data.test, data.labels).tolist())


def main(learning_rate: float) -> None:
    """Train fully, as a plain script would."""
    torch.set_num_threads(2)
    job, test = _job()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        clock = StepClock(5, lambda step: say(f"step {step}") if step % 100 == 0 else None)
        trainer = hf_trainer(job, None, learning_rate, Path(name), [clock])
        trainer.train()
    assert trainer.model is not None
    result(
        "hf_baseline", accuracy=round(accuracy(trainer.model, test), 4), learning_rate=learning_rate,
        seconds=round(time.monotonic() - began), documents=len(job.train.targets), test_documents=len(test.targets),
    )  # fmt: skip


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5e-5)
