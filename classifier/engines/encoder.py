"""The fine-tuned encoder as a torch module that computes only what its outputs need."""

import threading
from pathlib import Path
from typing import Any

from sortline.errors import CheckpointError
from sortline.logs import silence_telemetry, silence_transformers

silence_telemetry()

import torch  # noqa: E402
from safetensors import SafetensorError  # noqa: E402
from transformers import AutoModelForSequenceClassification  # noqa: E402

# Encoders whose classification head reads only the first token.
_FIRST_TOKEN_TYPES = frozenset({"bert", "camembert", "electra", "roberta", "xlm-roberta"})


class Encoder(torch.nn.Module):
    """Maps token ids (rows, length) and their mask to logits (rows, labels), vectors (rows, d) and means (rows, h).

    The vector of a row is what the last linear layer of the head reads, so the logits are that layer's answer to it. A
    head without such a layer gives vectors of width 0. The means are those over the tokens of the output of the last
    layer but one, because the last layer may not compute every token. Their width is 0 if the model has no such layer,
    or if that layer does not give one state for each token.
    """

    def __init__(self, model: torch.nn.Module, labels: int) -> None:
        super().__init__()
        self.model = model
        self._read = threading.local()
        head = last_linear(model, labels)
        if head is not None:
            head.register_forward_pre_hook(self._keep)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        logits: torch.Tensor = found.logits
        nothing = logits[:, :0]
        every: tuple[torch.Tensor, ...] = found.hidden_states or ()
        states = every[1:-1]  # without the embeddings, and the last layer's
        is_whole = states and states[-1].shape[:2] == input_ids.shape
        means = _means(states[-1], attention_mask) if is_whole else nothing
        return logits, self._read.__dict__.pop("vectors", nothing), means

    def _keep(self, _: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        self._read.vectors = given[0]


def _means(states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Means (rows, width) over the tokens of hidden states (rows, length, width).

    By a matrix product, because OpenVINO computes in float32 what leads from the last one to an output: a plain sum
    would keep the residual sums and norms of all layers from bfloat16.
    """
    if mask is None:
        return states.mean(dim=1)
    counted = mask.to(states.dtype)
    return torch.bmm(counted.unsqueeze(1), states).squeeze(1) / counted.sum(dim=1, keepdim=True)


def last_linear(model: torch.nn.Module, outputs: int) -> torch.nn.Linear | None:
    """The last linear layer with so many outputs; None: the model has no such layer."""
    found = [each for each in model.modules() if isinstance(each, torch.nn.Linear) and each.out_features == outputs]
    return found[-1] if found else None


def read_encoder(folder: Path) -> Encoder:
    """The encoder of a checkpoint folder, in float32, ready for inference.

    Raises:
        CheckpointError: transformers can't load the folder as a sequence classifier.
    """
    silence_transformers()
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(  # nosec B615  # a folder, no download
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint {folder} can't be loaded: {str(error).splitlines()[0]}") from None
    if report["missing_keys"] or report["mismatched_keys"]:
        raise CheckpointError(f"checkpoint {folder} lacks weights of its classifier")
    model.eval().requires_grad_(False)
    read_first_token_only(model)
    return Encoder(model, model.config.num_labels)


def read_first_token_only(model: Any) -> None:
    """Let the last layer compute only the first token, if the head reads no other.

    Keys and values still use every token, so the logits are the same. For MiniLM's 6 layers this saves an eighth of the
    arithmetic.
    """
    if model.config.model_type not in _FIRST_TOKEN_TYPES:
        return
    last = model.base_model.encoder.layer[-1]
    last.attention.output.register_forward_pre_hook(_first_token)


def _first_token(_: torch.nn.Module, states: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(state[:, :1] for state in states)
