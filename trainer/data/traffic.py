"""Traffic that a training has not seen, on which the forms of its model are compared."""

from datetime import datetime

from sqlalchemy.orm import Session

from db.queries import model_forms
from trainer.data.training_data import TrainingData


def unseen_traffic(session: Session, since: datetime, data: TrainingData) -> list[str]:
    """Texts of the first documents that came since, each once, at most 5,000; in the order in which they came.

    Those that people decide are among them: they are the doubtful ones, and without them the rest would look surer than
    the traffic is. A later call gives the same texts and the following ones, but for what was erased.

    Args:
        since: when the training's documents were frozen.
        data: the training's documents, whose texts are left out.
    """
    found = model_forms.traffic(session, since, 2 * model_forms.MOST_TRAFFIC)
    known = {document.text for document in (*data.train, *data.held_out)}
    return [text for text in dict.fromkeys(found) if text not in known][: model_forms.MOST_TRAFFIC]
