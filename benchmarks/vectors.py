"""Vectors of texts by the encoder that starters have."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from classifier.base_tokenizer import save_tokenizer, training_tokenizer
from db.vector_array import Matrix
from sortline.settings import Settings
from trainer.fine_tuning.base_check import usable_base
from trainer.fine_tuning.frozen_encoder import frozen_encoder, vectors
from trainer.fine_tuning.job import Examples, Job
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.pooling import pools_by_mean
from trainer.fine_tuning.prepare import longest_window

_LABELS = ["one", "other"]  # a head must have some; its answers are not read


def frozen_vectors(texts: Sequence[str]) -> Matrix:
    """What the head of a starter reads of each text (n, d); of a long one, its first window."""
    base = usable_base(Settings(_env_file=None).base_model)
    parameters = Parameters().settled(0, len(_LABELS), pools_by_mean(base))
    with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
        save_tokenizer(base, Path(folder))
        tokenizer = training_tokenizer(Path(folder), base, longest_window(base, parameters))
    job = Job(base, _LABELS, Examples([], []), Examples([], []), tokenizer.pad_id, parameters)
    windows = [each.windows[0] for each in tokenizer.prepare(texts)]
    return vectors(frozen_encoder(job), windows, len(_LABELS), tokenizer.pad_id)
