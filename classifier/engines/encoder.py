"""The fine-tuned encoder as a torch module that computes no more than its logits need."""

from pathlib import Path
from typing import Any

from sortline.errors import CheckpointError
from sortline.logs import silence_telemetry, silence_transformers

silence_telemetry()

import torch  # noqa: E402
from safetensors import SafetensorError  # noqa: E402
from transformers import AutoModelForSequenceClassification  # noqa: E402

# Encoders whose classification head reads the first token alone.
_FIRST_TOKEN_TYPES = frozenset({"bert", "camembert", "electra", "roberta", "xlm-roberta"})


class Encoder(torch.nn.Module):
    """Token ids (rows, length) and mask to logits (rows, labels)."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def read_encoder(folder: Path) -> Encoder:
    """The encoder of a checkpoint folder, in float32, ready to infer.

    Raises:
        CheckpointError: the folder holds no sequence classifier that transformers knows.
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
    return Encoder(model)


def read_first_token_only(model: Any) -> None:
    """Let the last layer compute the first token alone, where the head reads nothing else.

    Keys and values still see every token, so the logits are those of the whole layer. Of MiniLM's 6 layers it
    saves an eighth of the arithmetic.
    """
    if model.config.model_type not in _FIRST_TOKEN_TYPES:
        return
    last = model.base_model.encoder.layer[-1]
    last.attention.output.register_forward_pre_hook(_first_token)


def _first_token(_: torch.nn.Module, states: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(state[:, :1] for state in states)
