"""Texts as vectors of a pretrained encoder that nothing was fitted on."""

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.base_tokenizer import save_tokenizer, training_tokenizer
from classifier.batching import COARSE_STEP, ForwardBatch, batches
from classifier.tokens import longest_input
from sortline.errors import TrainingError
from sortline.logs import silence_telemetry, silence_transformers

if TYPE_CHECKING:
    import torch

Matrix = NDArray[np.float32]

_MAX_LENGTH = 256  # tokens of a text that its embedding sees
_TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 16384}
_LOADING = (
    threading.Lock()
)  # transformers changes torch's defaults while it loads, and a training does so twice at once
_BATCH_OVERHEAD = 32  # what a forward pass costs beside its tokens, in tokens


def sentence_embeddings(texts: Sequence[str], base: Path, device: str, threads: int) -> Matrix:
    """Unit vectors (n, width): the mean over a text's tokens of the encoder's last hidden state.

    The pooling of Reimers and Gurevych, "Sentence-BERT", 2019. Of a text the first 256 tokens count.

    Args:
        device: auto, cpu or cuda.
        threads: of a CPU.

    Raises:
        TrainingError: the encoder or its tokenizer can't be loaded.
        ConfigurationError: there is no such device.
        CheckpointError: the encoder's config or tokenizer can't be read.
    """
    import torch

    from classifier.engines.torch_device import learns_in_bf16, torch_device

    with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
        save_tokenizer(base, Path(folder))
        # Batches pad to multiples of 8, which must not be more than the encoder takes.
        longest = min(_MAX_LENGTH, longest_input(base) // COARSE_STEP * COARSE_STEP)
        tokenizer = training_tokenizer(Path(folder), base, longest)
    kind = torch_device(device)
    if kind == "cpu":
        torch.set_num_threads(threads)
    place = torch.device(kind)
    # Where torch has bfloat16, all of the encoder computes in it: autocast leaves residual sums and norms in float32,
    # and takes half as long again.
    encoder = _encoder(base, place, torch.bfloat16 if learns_in_bf16(kind) else torch.float32)
    embeddings = np.zeros((len(texts), encoder.config.hidden_size), np.float32)
    packed = batches(tokenizer.prepare(texts), _TOKENS_PER_BATCH[kind], _BATCH_OVERHEAD, tokenizer.pad_id)
    with torch.inference_mode():
        for batch in packed:
            embeddings[batch.documents] = _pooled(encoder, batch, place)
    return embeddings


def _pooled(encoder: Any, batch: ForwardBatch, device: "torch.device") -> Matrix:
    import torch

    input_ids, mask = (torch.from_numpy(array).to(device) for array in (batch.input_ids, batch.attention_mask))
    return mean_of_tokens(encoder(input_ids=input_ids, attention_mask=mask).last_hidden_state, mask)


def mean_of_tokens(states: "torch.Tensor", mask: "torch.Tensor") -> Matrix:
    """Unit vectors (n, width): the means over the tokens of last hidden states (n, tokens, width)."""
    import torch

    sums = (states.float() * mask.unsqueeze(-1)).sum(dim=1)
    # The length of the mean and that of the sum differ by a factor that normalising takes away.
    return np.asarray(torch.nn.functional.normalize(sums).cpu().numpy(), np.float32)


def _encoder(base: Path, device: "torch.device", precision: "torch.dtype") -> Any:
    silence_telemetry()
    from safetensors import SafetensorError
    from transformers import AutoModel

    silence_transformers()
    try:
        with _LOADING:
            model = AutoModel.from_pretrained(  # nosec B615  # a folder, no download
                base, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype="float32"
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise TrainingError(f"base model {base} can't be loaded: {str(error).splitlines()[0]}") from None
    return model.eval().to(device, precision)
