"""Vectors of texts that a worker computes while a page waits."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import State

from sortline.pasted import Pasted
from web.worker_tasks import send_to_worker

_WAIT_S = 8


class TextVector(NamedTuple):
    """A vector (d,), and the id and width of the encoder that made it."""

    encoder: tuple[int, int]
    vector: NDArray[np.float32]


def vector_of_text(state: State, text: str) -> TextVector | str:
    """The vector of a text by the active model; a sentence: why there is none.

    Args:
        state: of the app, with its settings and its queue.

    Raises:
        ServerUnreachableError: the broker can't be reached; ask again later.
    """
    pasted = Pasted(state.queue.client, state.settings.prefix)
    token = pasted.put(text)
    send_to_worker(state.settings.broker, "worker.vector", token)
    found = pasted.wait(token, _WAIT_S) or {"missing": f"No worker has answered within {_WAIT_S} s; try again later."}
    if "missing" in found:
        return str(found["missing"])
    vector = np.array(found["vector"], np.float32)
    return TextVector((found["encoder_id"], len(vector)), vector)
