"""Convert a checkpoint to OpenVINO's form: ``python -m classifier.engines.openvino_convert FOLDER TARGET``.

It is a process of its own so that the worker never holds torch in memory, which takes 200 MB and two seconds.
"""

import sys
import warnings
from pathlib import Path

import torch

from classifier.engines.encoder import read_encoder
from sortline.errors import SortlineError


def convert(folder: Path, target: Path) -> None:
    """Write the checkpoint's encoder in float32 as ``target`` (.xml), with the weights beside it (.bin)."""
    import openvino

    encoder = read_encoder(folder)
    # Rows of two lengths, because tracing drops a mask that has no effect.
    input_ids = torch.tensor([[0, 1, 2, 1], [0, 1, 1, 0]])
    attention_mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns about each constant that it keeps
        model = openvino.convert_model(encoder, example_input=(input_ids, attention_mask))
    for place, name in enumerate(("input_ids", "attention_mask")):
        model.inputs[place].get_tensor().set_names({name})
    model.validate_nodes_and_infer_types()
    openvino.save_model(model, target, compress_to_fp16=False)


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except SortlineError as error:
        sys.exit(str(error))
