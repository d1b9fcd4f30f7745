"""Traffic that a training has not seen, on which the forms of its model are compared."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from db.queries import model_forms
from trainer.data.training_data import TrainingData


class Traffic(NamedTuple):
    """Texts, each once and none of the training's, and the number of documents that were looked at for them."""

    texts: list[str]
    documents: int


def unseen_traffic(session: Session, since: datetime, data: TrainingData) -> Traffic:
    """Texts of the first 5,000 documents that came since, in the order in which they came.

    Those that people decide are among them: they are the doubtful ones, and without them the rest would look surer than
    the traffic is. A later call gives the same texts and the following ones, but for what was erased.

    Args:
        since: when the training's documents were frozen.
        data: the training's documents, whose texts are left out.
    """
    found = model_forms.traffic(session, since, model_forms.MOST_TRAFFIC)
    known = {document.text for document in (*data.train, *data.held_out)}
    return Traffic([text for text in dict.fromkeys(found) if text not in known], len(found))
