"""What traffic is compared with, frozen when a version is made: its answers to documents that it never saw."""

import random

from sqlalchemy.orm import Session

from db.queries import drift
from trainer.data.training_data import TrainingData
from trainer.evaluation.judge import Judged

_HELD_OUT = 2000
_TRAINING = 5000


def freeze(session: Session, version_id: int, data: TrainingData, judged: Judged, seed: int) -> None:
    """Keep ids and answers of a sample; the caller commits.

    Args:
        judged: its probabilities are those of ``data.held_out``.
    """
    draw = random.Random(seed)  # noqa: S311 - a sample, no secret
    held_out, train = data.held_out, data.train
    chosen = draw.sample(range(len(held_out)), min(_HELD_OUT, len(held_out)))
    likeliest = judged.probabilities.argmax(axis=1)
    drift.freeze(
        session,
        version_id,
        judged.description.form,
        [document.id for document in draw.sample(train, min(_TRAINING, len(train)))],
        [held_out[i].id for i in chosen],
        [data.labels[int(likeliest[i])][0] for i in chosen],
        [float(judged.probabilities[i].max()) for i in chosen],
    )
