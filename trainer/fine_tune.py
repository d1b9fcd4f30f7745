"""Fine-tuning of a pretrained encoder with a classification head, as fast as the machine allows.

Documents of like length share a batch (almost no padding), matrix products run in bfloat16 where the
processor has it, and the new head learns ten times faster than the pretrained layers.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.engines.choose import cores
from classifier.engines.encoder import read_first_token_only
from sortline.errors import TrainingError
from sortline.logs import silence_telemetry
from sortline.settings import Settings
from trainer.parameters import Parameters

silence_telemetry()

import torch  # noqa: E402
from safetensors import SafetensorError  # noqa: E402
from transformers import AutoModelForSequenceClassification, PreTrainedModel  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

_MEGABATCH = 50  # batches that are sorted by length together, as in Hugging Face's LengthGroupedSampler


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fine-tuning is; ``loss`` is a moving average, ``left_s`` an estimate in seconds."""

    step: int
    steps: int
    loss: float
    left_s: float


def fine_tune(
    base: Path,
    documents: Sequence[Sequence[int]],
    targets: Sequence[int],
    labels: Sequence[str],
    parameters: Parameters,
    pad_id: int,
    settings: Settings,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> PreTrainedModel:
    """Train a sequence classifier.

    Args:
        base: folder of the pretrained encoder.
        documents: token ids, special tokens included, one list a document.
        targets: index into ``labels``, one a document.
        labels: names of the labels.
        pad_id: token id of the padding.
        settings: say which device and how many threads.
        on_progress: called after each step.

    Returns:
        The model, in float32, on the processor it was trained on.

    Raises:
        TrainingError: the base model can't be loaded, or the training diverges.
    """
    torch.manual_seed(parameters.seed)
    device = _device(settings)
    model = _model(base, labels)
    torch.nn.Module.to(model, device)
    model.train()
    shuffle = random.Random(parameters.seed)  # noqa: S311 - an order, not a secret
    steps = parameters.epochs * -(-len(documents) // parameters.batch_size)
    optimizer, schedule = _optimizer(model, parameters, steps)
    loss_function = torch.nn.CrossEntropyLoss(label_smoothing=parameters.label_smoothing)
    mean_loss, step, began = 0.0, 0, time.monotonic()
    for _ in range(parameters.epochs):
        for batch in _batches([len(document) for document in documents], parameters.batch_size, shuffle):
            input_ids, mask = _pad([documents[i] for i in batch], pad_id, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=_has_bf16(device)):
                logits = model(input_ids=input_ids, attention_mask=mask).logits
            loss = loss_function(logits.float(), torch.tensor([targets[i] for i in batch], device=device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            _check(loss, step)
            mean_loss += (loss.item() - mean_loss) / min(step, 50)
            left = (time.monotonic() - began) / step * (steps - step)
            on_progress(Progress(step, steps, mean_loss, left))
    model.train(False)
    return model


def _device(settings: Settings) -> torch.device:
    if settings.device != "cpu" and torch.cuda.is_available():
        return torch.device("cuda")
    if settings.device == "cuda":
        raise TrainingError("device cuda was asked for, but torch finds none")
    torch.set_num_threads(cores(settings))
    return torch.device("cpu")


def _check(loss: torch.Tensor, step: int) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(f"the training diverged at step {step}: the loss is {loss.item()}; learn more slowly")


def _model(base: Path, labels: Sequence[str]) -> PreTrainedModel:
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            base,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="sdpa",
            dtype=torch.float32,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
            ignore_mismatched_sizes=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise TrainingError(f"base model {base} can't be loaded: {str(error).splitlines()[0]}") from None
    read_first_token_only(model)
    return model


def _optimizer(model: PreTrainedModel, parameters: Parameters, steps: int) -> tuple[Any, Any]:
    """AdamW with a faster head, no decay of biases and norms, linear warm-up and decay."""
    groups = []
    for in_head, rate in (
        (False, parameters.learning_rate),
        (True, parameters.learning_rate * parameters.head_factor),
    ):
        for decays in (False, True):
            found = [
                weight
                for name, weight in model.named_parameters()
                if name.startswith("classifier") is in_head and (weight.ndim > 1) is decays
            ]
            groups.append({"params": found, "lr": rate, "weight_decay": parameters.weight_decay if decays else 0.0})
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
    warm = max(1, int(steps * parameters.warmup))

    def factor(step: int) -> float:
        return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _batches(lengths: Sequence[int], size: int, shuffle: random.Random) -> list[list[int]]:
    """Random batches of documents of like length."""
    order = list(range(len(lengths)))
    shuffle.shuffle(order)
    found: list[list[int]] = []
    for start in range(0, len(order), size * _MEGABATCH):
        mega = sorted(order[start : start + size * _MEGABATCH], key=lengths.__getitem__)
        found += [mega[i : i + size] for i in range(0, len(mega), size)]
    shuffle.shuffle(found)
    return found


def _pad(rows: list[Sequence[int]], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), pad_id)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids.to(device), mask.to(device)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
