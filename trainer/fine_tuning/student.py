"""A student of a trained model: some of its layers, which learn to answer as the whole model does.

The student begins with layers of its teacher, as in Sanh and others, "DistilBERT, a distilled version of BERT", 2019.
It learns half from labels, half from the teacher's softened answers, which unlabelled texts have too
(`trainer.fine_tuning.loss`).
"""

import shutil
from pathlib import Path
from typing import Any

from classifier.checkpoint import DESCRIPTION
from classifier.checkpoint_folder import INT8
from classifier.tokens import read_config
from sortline.counted import counted
from sortline.errors import TrainingError
from trainer.fine_tuning.parameters import Parameters

# Besides the last layer, which the head reads; tried in this order, until one holds.
LAYERS = (2, 3)
_EPOCHS, _LEARNING_RATE = 8, 2e-4
_COUNT = ("num_hidden_layers", "n_layers")  # the config's name for the number of layers


def layer_counts(folder: Path, asked: int = 0, added: int = 0) -> tuple[int, ...]:
    """The numbers of layers, besides the last one, of the students that a model may have; none if it is too small.

    Args:
        folder: the model, in Hugging Face format.
        asked: the only number to try; 0: those of `LAYERS`.
        added: layers that the model will have besides those of the folder.

    Raises:
        TrainingError: a student of as many layers as asked for would not be smaller than the model.
    """
    layers = _number(read_config(folder)) + added
    possible = tuple(count for count in (asked and (asked,)) or LAYERS if count + 1 < layers)
    if asked and not possible:
        raise TrainingError(
            f"a student of {counted(asked, 'layer')} and the last one is not smaller than the model, which has "
            f"{counted(layers, 'layer')}"
        )
    return possible


def kept_layers(layers: int, count: int) -> list[int]:
    """The places of a student's layers in a model of ``layers``: ``count`` evenly spread ones, and the last one."""
    last = layers - 1
    if count == 1:
        return [0, last]
    return [int(place * (last - 1) / (count - 1) + 0.5) for place in range(count)] + [last]


def make_student(folder: Path, target: Path, count: int) -> Path:
    """Make a folder of a model's student before it learns: the model with fewer layers, and its tokenizer.

    Args:
        folder: the model, in Hugging Face format.
        target: the folder to make; an existing one is replaced.
        count: of layers besides the last one.

    Raises:
        TrainingError: the model can't be loaded, or its layers can't be told apart.
    """
    import torch

    from trainer.fine_tuning.trainee import encoder_layers, read_classifier

    model, _ = read_classifier(folder)
    config: Any = model.config
    name, layers = encoder_layers(model)
    counted = next((each for each in _COUNT if getattr(config, each, None) == layers), None)
    if counted is None:
        raise TrainingError(f"no student can be made of a model of type {config.model_type}: its layers are shared")
    owner, _, attribute = name.rpartition(".")
    every = model.get_submodule(name)
    kept = torch.nn.ModuleList([every.get_submodule(str(place)) for place in kept_layers(layers, count)])
    setattr(model.get_submodule(owner), attribute, kept)
    setattr(config, counted, len(kept))
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.safetensors*", INT8, DESCRIPTION, "*.md"))
    model.save_pretrained(target)
    return target


def student_parameters(parameters: Parameters) -> Parameters:
    """How a student learns: long and fast, since it must close the gaps between its layers.

    Args:
        parameters: those that the teacher was trained with.
    """
    return parameters.model_copy(
        update={
            "epochs": max(_EPOCHS, parameters.epochs),
            "learning_rate": max(_LEARNING_RATE, parameters.learning_rate),
            "head_factor": 1.0,
            "layer_decay": 1.0,
            "dropout": 0.0,
        }
    )


def _number(config: dict[str, Any]) -> int:
    return next((int(config[name]) for name in _COUNT if isinstance(config.get(name), int)), 0)
