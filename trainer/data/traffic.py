"""Traffic that a training has not seen, on which the forms of its model are compared."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from db.queries import model_forms
from trainer.data.training_data import TrainingData

_MOST_OTHERS = 10_000


class Traffic(NamedTuple):
    """Documents (``ids``) and their ``texts``, each text once and none of the training's.

    ``documents``: how many were looked at for them.
    """

    ids: list[int]
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
    known = _texts_of(data)
    first: dict[str, int] = {}
    for id_, text in found:
        if text not in known:
            first.setdefault(text, id_)
    return Traffic(list(first.values()), list(first), len(found))


def texts_to_teach(session: Session, since: datetime, data: TrainingData, traffic: Traffic) -> list[str]:
    """Texts without a label that a student may learn from: each once, none of the training's, and no such traffic.

    At most 10,000 that came before the training's documents were frozen, the newest ones, and as many that came after
    the traffic on which forms are judged.

    Args:
        since: when the training's documents were frozen.
        data: the training's documents.
        traffic: what `unseen_traffic` gives, on which the student will be judged.
    """
    known = _texts_of(data).union(traffic.texts)
    found = model_forms.other_texts(session, since, _MOST_OTHERS)
    return [text for text in dict.fromkeys(found) if text not in known]


def _texts_of(data: TrainingData) -> set[str]:
    return {document.text for document in (*data.train, *data.held_out)}
