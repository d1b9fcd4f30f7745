"""What waits for a person gets new suggestions and a new order from its stored vectors, without a forward pass."""

from collections.abc import Sequence

import numpy as np

from classifier.calibration import softmax
from db.queries import embeddings, waiting_scores
from db.session import session
from sortline.postgres_address import PostgresAddress
from trainer.fine_tuning.adapted_head import Adapted
from trainer.fine_tuning.fitted_head import Fitted

_PAGE = 5_000


def order_anew(
    postgres: PostgresAddress,
    version_id: int,
    label_ids: Sequence[int],
    encoder: tuple[int, int],
    fitted: Fitted | Adapted,
) -> int:
    """Give what waits its suggestion and its place by a head, each page in one transaction; returns how many.

    Args:
        encoder: id and width.
    """
    after, done = 0, 0
    while True:
        with session(postgres) as opened:
            page = embeddings.waiting(opened, *encoder, after, _PAGE)
            if not page.ids:
                return done
            probabilities = softmax(fitted.head.logits(page.vectors), fitted.temperature)
            best = probabilities.argmax(axis=1)
            two = np.partition(probabilities, -2, axis=1)[:, -2:]
            labels = np.array(label_ids)[best]
            waiting_scores.store(opened, version_id, page.ids, labels.tolist(), (two[:, 1] - two[:, 0]).tolist())
            opened.commit()
        after, done = page.ids[-1], done + len(page.ids)
