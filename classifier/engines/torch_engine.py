"""The encoder in torch: on CUDA in bf16 with fused attention, on a CPU in f32 or bf16."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from classifier.engines.encoder import read_encoder
from classifier.engines.protocol import Outputs
from classifier.engines.torch_device import Device, torch_device

Precision = Literal["f32", "bf16"]
_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class TorchEngine:
    """Runs a checkpoint in torch.

    Args:
        folder: the checkpoint.
        precision: precision of weights and activations; logits are float32.
        device: the device that it computes on.
        threads: processor threads of a forward pass on a CPU.

    Raises:
        CheckpointError: the folder can't be loaded.
        ConfigurationError: the device does not exist.
    """

    parallel = 1  # one forward pass uses the whole device

    def __init__(self, folder: Path, precision: Precision, device: Device, threads: int) -> None:
        self.name = f"torch-{precision}"
        self.tokens_per_batch = 16384 if device == "cuda" else 1024
        self.overhead = 2048 if device == "cuda" else 32
        self.slow_at_first = device == "cuda"  # which chooses kernels for each shape, and takes memory for it
        self._device = torch.device(torch_device(device))
        if device == "cpu":
            torch.set_num_threads(threads)
        self._encoder = read_encoder(folder).to(self._device, _DTYPES[precision])
        first = self.run(np.zeros((1, 2), np.int64), np.ones((1, 2), np.int64))
        self.width, self.hidden = first.vectors.shape[1], first.hidden.shape[1]

    def run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Outputs:
        """The outputs of token ids (rows, length) and their mask; thread-safe."""
        # Without a mask, torch can use its fastest fused attention kernel.
        mask = None if attention_mask.all() else self._move(attention_mask)
        with torch.inference_mode():
            found = self._encoder(self._move(input_ids), mask)
            return Outputs(*(each.float().cpu().numpy() for each in found))

    def _move(self, array: NDArray[np.int64]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor
