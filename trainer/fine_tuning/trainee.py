"""The model that is fine-tuned: loaded with a head for the job's labels, and kept small while it learns."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.engines import encoder
from classifier.engines.encoder import read_first_token_only
from sortline.errors import TrainingError
from sortline.logs import silence_telemetry, silence_transformers
from trainer.fine_tuning.base_check import fault_of_loading
from trainer.fine_tuning.job import Examples, Job, TokenIds
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.sentence_encoder import add_mean

silence_telemetry()

import torch  # noqa: E402
from safetensors import SafetensorError  # noqa: E402
from transformers import AutoModelForSequenceClassification, PreTrainedModel  # noqa: E402

_WORTH_TRIMMING = 0.7
_SHORT = 128  # tokens


def load_trainee(job: Job) -> PreTrainedModel:
    """The encoder with a head of the job's labels, in float32; rows of the parent's head are kept.

    A sentence encoder's new head reads the mean of its tokens (`trainer.fine_tuning.sentence_encoder`).

    Raises:
        TrainingError: it can't be loaded.
    """
    model, is_new_head = read_classifier(
        job.base,
        num_labels=len(job.labels),
        id2label=dict(enumerate(job.labels)),
        label2id={label: i for i, label in enumerate(job.labels)},
        ignore_mismatched_sizes=True,
    )
    if job.rows is not None:
        _keep_rows(model, read_classifier(job.base)[0], job.rows)
    elif not is_new_head:
        _keep_rows(model, model, [-1] * len(job.labels))  # of other labels, as many by chance
    if job.begins_fitted:
        add_mean(model)
    if job.parameters.dropout is not None:
        for each in model.modules():
            if isinstance(each, torch.nn.Dropout):
                each.p = job.parameters.dropout
    read_first_token_only(model)
    return model


def suit_attention(model: PreTrainedModel, job: Job, device: str) -> None:
    """Attention step by step on a CPU where documents are short: torch's fused one is slower there.

    Seconds of a pass forth and back, MiniLM-L6 in bfloat16, fused and step by step: 32 documents of 16 tokens 0.22 and
    0.15, of 128 tokens 1.31 and 1.09; 16 of 256 tokens 1.37 and 1.53.
    """
    lengths = [TokenIds.of(each.documents).lengths for each in (job.train, job.validation)]
    longest = max((int(each.max()) for each in lengths if len(each)), default=0)
    if device == "cpu" and longest <= _SHORT:
        model.set_attn_implementation("eager")


class TrimmedVocabulary:
    """Takes the rows that no document uses out of the word embeddings while a model learns.

    They would get no gradient, but the optimizer would go through them at every step: of MiniLM they are half
    of all weights. They keep their pretrained values, which weight decay would have shrunk a little.
    """

    def __init__(self, model: PreTrainedModel, job: Job) -> None:
        self._model = model
        whole: Any = model.get_input_embeddings()
        used = _used(job)
        self._whole: torch.Tensor | None = None
        self._place = np.arange(whole.num_embeddings, dtype=np.int32)
        if len(used) > _WORTH_TRIMMING * whole.num_embeddings or job.pad_id >= len(used):
            return
        self._whole, self._used = whole.weight.detach(), used
        self._place[used] = np.arange(len(used))
        small = torch.nn.Embedding(len(used), whole.embedding_dim, padding_idx=whole.padding_idx)
        small.weight = torch.nn.Parameter(self._whole[used].clone())
        model.set_input_embeddings(small)

    def encode(self, examples: Examples) -> TokenIds:
        """Token ids of documents as the trimmed model knows them."""
        documents = TokenIds.of(examples.documents)
        return TokenIds(self._place[documents.ids], documents.bounds)

    def restore(self) -> None:
        """Give the model all its rows again."""
        if self._whole is None:
            return
        small: Any = self._model.get_input_embeddings()
        self._whole[self._used] = small.weight.detach().to(self._whole.device)
        whole = torch.nn.Embedding(len(self._whole), self._whole.shape[1], padding_idx=small.padding_idx)
        whole.weight = torch.nn.Parameter(self._whole)
        self._model.set_input_embeddings(whole)


def parameter_groups(model: PreTrainedModel, parameters: Parameters) -> list[dict[str, Any]]:
    """Groups for AdamW: a faster head, slower lower layers, no decay of biases and norms.

    The head is what lies outside the encoder. Layer by layer from the top, learning rates shrink by ``layer_decay``:
    discriminative fine-tuning of Howard and Ruder, "Universal Language Model Fine-tuning", ACL 2018.
    """
    layers, count = encoder_layers(model)
    groups: dict[tuple[float, bool], list[torch.Tensor]] = {}
    for name, weight in model.named_parameters():
        rate = parameters.learning_rate * _factor(name, model.base_model_prefix, layers, count, parameters)
        groups.setdefault((rate, weight.ndim > 1), []).append(weight)
    return [
        {"params": weights, "lr": rate, "rate": rate, "weight_decay": parameters.weight_decay if decays else 0.0}
        for (rate, decays), weights in groups.items()
    ]


def label_weights(targets: Sequence[int], labels: int, parameters: Parameters) -> torch.Tensor:
    """Weight of each label's documents, (labels,): 1 each, or so that all labels count alike, at most tenfold."""
    weights = torch.ones(labels)
    if parameters.class_weighting == "balanced":
        counts = torch.bincount(torch.tensor(targets), minlength=labels).float()
        weights = (len(targets) / (labels * counts.clamp(min=1))).clamp(max=10)
        weights = weights * len(targets) / (weights * counts).sum()
    return weights


def pad(rows: Sequence[NDArray[Any]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask (rows, longest) of documents."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, np.int64)
    ids[mask] = np.concatenate(rows)
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def read_classifier(base: Path, **options: Any) -> tuple[PreTrainedModel, bool]:
    """A classifier of a folder's encoder, and whether the last layer of its head is new.

    Weights that the encoder asks for and the folder lacks are refused: they would be random.
    """
    silence_transformers()
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(  # nosec B615  # a folder, no download
            base, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32,
            output_loading_info=True, **options,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise TrainingError(f"base model {base} can't be loaded: {str(error).splitlines()[0]}") from None
    fault = fault_of_loading(model, report)
    if fault is not None:
        raise TrainingError(f"base model {base} can't be used: {fault}")
    head = last_linear(model, int(model.config.num_labels)).weight
    name = next(name for name, weight in model.named_parameters() if weight is head)
    return model, name in {*report["missing_keys"], *(each[0] for each in report["mismatched_keys"])}


def _keep_rows(model: PreTrainedModel, parent: PreTrainedModel, rows: Sequence[int]) -> None:
    """Rows of known labels are the parent's, those of new labels (-1) are drawn as a new head's are."""
    new, old = last_linear(model, len(rows)), last_linear(parent, int(parent.config.num_labels or 0))
    with torch.no_grad():
        new.weight.normal_(std=getattr(model.config, "initializer_range", 0.02))
        if new.bias is not None:
            new.bias.zero_()
        for i, row in enumerate(rows):
            if row >= 0:
                new.weight[i] = old.weight[row]
            if row >= 0 and new.bias is not None:
                new.bias[i] = old.bias[row]


def last_linear(model: PreTrainedModel, outputs: int) -> torch.nn.Linear:
    found = encoder.last_linear(model, outputs)
    if found is None:
        raise TrainingError(f"the model's head has no layer of {outputs} labels")
    return found


def _used(job: Job) -> NDArray[np.int64]:
    """Token ids that occur, the padding at its own place: some models know it by its number."""
    occurring = [np.unique(TokenIds.of(each.documents).ids) for each in (job.train, job.validation)]
    used = np.unique(np.concatenate([[job.pad_id], *occurring])).astype(np.int64)
    at = int(np.searchsorted(used, job.pad_id))
    if job.pad_id < len(used):
        used[[at, job.pad_id]] = used[[job.pad_id, at]]
    return used


def encoder_layers(model: PreTrainedModel) -> tuple[str, int]:
    """Name and length of the encoder's list of layers."""
    lists = [(name, len(each)) for name, each in model.named_modules() if isinstance(each, torch.nn.ModuleList)]
    return max(lists, key=lambda pair: pair[1], default=("", 0))


def _factor(name: str, encoder: str, layers: str, count: int, parameters: Parameters) -> float:
    if not name.startswith(f"{encoder}."):
        return parameters.head_factor
    if layers and name.startswith(f"{layers}."):
        return float(parameters.layer_decay ** (count - 1 - int(name[len(layers) + 1 :].partition(".")[0])))
    return float(parameters.layer_decay**count) if "embed" in name else 1.0


def batches(lengths: Sequence[int], size: int, draw: Any, mega: int = 50) -> Iterator[list[int]]:
    """Random batches of documents of like length.

    Of ``mega`` batches' documents those of like length share a batch, as in Hugging Face's LengthGroupedSampler.
    """
    order = list(range(len(lengths)))
    draw.shuffle(order)
    found: list[list[int]] = []
    for start in range(0, len(order), size * mega):
        alike = sorted(order[start : start + size * mega], key=lengths.__getitem__)
        found += [alike[i : i + size] for i in range(0, len(alike), size)]
    draw.shuffle(found)
    yield from found
