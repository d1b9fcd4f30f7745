"""From frozen documents to a fine-tuning job: base model, tokenizer, token ids."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from classifier.base_models import base_model_folder
from classifier.base_tokenizer import save_tokenizer, training_tokenizer
from classifier.batching import COARSE_STEP
from classifier.checkpoint import Calibration, Checkpoint, SnapshotReference
from classifier.checkpoint_folder import read_checkpoint
from classifier.risk_targets import ACCEPTS_NOTHING
from classifier.store import ModelStore
from classifier.tokens import DEFAULT_OVERLAP, WindowTokenizer, longest_input
from db.queries import model_versions, tuned_parameters
from db.queries.labelled import Labelled
from sortline.errors import TrainingError
from trainer.data.training_data import TrainingData, label_indices
from trainer.fine_tuning.fine_tune import Examples, Job
from trainer.fine_tuning.job import TokenIds
from trainer.fine_tuning.parameters import Parameters, read_parameters
from trainer.fine_tuning.pooling import pools_by_mean

OnProgress = Callable[[int, int], None]

_AT_ONCE = 5_000  # documents


@dataclass(frozen=True, slots=True)
class Base:
    """What a fine-tuning starts from: ``name`` as it was asked for, its ``folder``, the labels of its head if any."""

    name: str
    folder: Path
    label_ids: tuple[int, ...] = ()

    @property
    def unchecked(self) -> tuple[Path, str] | None:
        """Folder and name of a base model that `trainer.fine_tuning.base_check` has to see; None: it was trained."""
        return None if self.label_ids else (self.folder, self.name)


def effective_parameters(session: Session, asked: dict[str, Any], base_model: str) -> Parameters:
    """What a run is asked for, on what tuning found best for its base model, on the defaults.

    Args:
        base_model: the setting's, which is meant where no other is asked for.

    Raises:
        TrainingError: a parameter is unknown or has a wrong value.
    """
    tuned = tuned_parameters.newest(session) or {}
    tuned_for = tuned.get("base_model") or base_model
    if (asked.get("base_model") or tuned_for) != tuned_for:
        tuned = {}
    return read_parameters({**tuned, **asked})


def find_base(session: Session, store: ModelStore, parameters: Parameters, base_model: str) -> Base:
    """The pretrained encoder, or the active version's checkpoint where the run starts from its parent.

    Of the encoder only the files were looked at (`Base.unchecked`).

    Args:
        base_model: the setting's, which is meant where the parameters name no other.

    Raises:
        CheckpointError: it can't be had.
        TrainingError: no version is active to start from.
    """
    if not parameters.from_parent:
        name = parameters.base_model or base_model
        return Base(name, base_model_folder(name))
    parent = model_versions.active(session)
    if parent is None:
        raise TrainingError("there is no active model version to start from; train from the base model first")
    folder = store.fetch(parent.checkpoint_uri, parent.sha256)
    return Base(parent.base_model, read_checkpoint(folder, parent.sha256).folder, tuple(parent.label_ids))


def prepare_job(
    base: Base,
    parameters: Parameters,
    data: TrainingData,
    snapshot: SnapshotReference,
    tokenizer_folder: Path,
    on_progress: OnProgress = lambda _done, _of: None,
) -> tuple[Job, Checkpoint]:
    """Tokenise training and validation; the tokenizer's files are saved in a folder of their own.

    Args:
        on_progress: called with how many training documents are tokenised, and of how many.

    Returns:
        What to fine-tune, and the description of the checkpoint that comes of it.
    """
    max_length = longest_window(base.folder, parameters)
    description = Checkpoint(
        label_ids=[label_id for label_id, _ in data.labels],
        labels=[name for _, name in data.labels],
        cleaning=parameters.cleaning,
        max_length=max_length,
        window_overlap=min(DEFAULT_OVERLAP, max_length // 4),
        calibrations={"default": Calibration(threshold=ACCEPTS_NOTHING)},
        base_model=base.name,
        snapshot=snapshot,
    )
    shutil.rmtree(tokenizer_folder, ignore_errors=True)
    tokenizer_folder.mkdir(parents=True)
    save_tokenizer(base.folder, tokenizer_folder)
    tokenizer = training_tokenizer(tokenizer_folder, base.folder, max_length)
    row = {label_id: i for i, label_id in enumerate(base.label_ids)}
    job = Job(
        base=base.folder,
        labels=description.labels,
        train=_examples(tokenizer, description, data.train, data, on_progress),
        validation=_examples(tokenizer, description, data.known(data.validation), data),
        pad_id=tokenizer.pad_id,
        parameters=parameters.settled(len(data.train), len(data.labels), not row and pools_by_mean(base.folder)),
        rows=[row.get(label_id, -1) for label_id in description.label_ids] if row else None,
    )
    return job, description


def longest_window(folder: Path, parameters: Parameters) -> int:
    """Tokens of the longest window. Batches pad long ones to multiples of 8, which the encoder must be able to take."""
    longest = min(parameters.max_length, longest_input(folder))
    return longest if longest < COARSE_STEP else longest // COARSE_STEP * COARSE_STEP


def _examples(
    tokenizer: WindowTokenizer, description: Checkpoint, documents: list[Labelled], data: TrainingData,
    on_progress: OnProgress = lambda _done, _of: None,
) -> Examples:  # fmt: skip
    parts = []
    for start in range(0, len(documents), _AT_ONCE):
        some = [description.cleaning(document.text) for document in documents[start : start + _AT_ONCE]]
        parts.append(TokenIds.of([each.windows[0] for each in tokenizer.prepare(some)]))
        on_progress(start + len(some), len(documents))
    return Examples(TokenIds.joined(parts), label_indices(documents, data.labels).tolist())
