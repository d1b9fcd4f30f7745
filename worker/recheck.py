"""Check that a model just loaded still gives its stored predictions; one that disagrees with them does not serve."""

import logging

import numpy as np
from sqlalchemy.orm import Session

from classifier.classifier import Classifier
from classifier.figures import VersionFigures
from db.models import ModelVersion
from db.queries import labelled, model_forms, predictions
from db.queries.predictions import Answer
from sortline.counted import counted
from worker.scoring import score

log = logging.getLogger(__name__)

_LEAST = 8  # fewer documents show nothing
_DIFFER = 0.05  # share of different labels; two engines of one model differ in about 1 %
_DISTANCE = 0.05  # mean difference of the confidences


def disagreement(session: Session, version: ModelVersion, form: str, classifier: Classifier, most: int) -> str | None:
    """How a loaded model disagrees with its stored predictions, in a sentence; None: it does not.

    It repeats the newest stored predictions of the same form of the version and, if there are few, the answers that the
    trainer stored for held-out documents.

    Args:
        most: most documents to repeat; 0: none.
    """
    answers = _stored(session, version, form, most) if most else []
    if len(answers) < _LEAST:
        return None
    label_ids = np.array(classifier.checkpoint.label_ids)
    probabilities = score(classifier, [answer.text for answer in answers]).probabilities
    differ = label_ids[probabilities.argmax(axis=1)] != np.array([answer.label_id for answer in answers])
    distance = np.abs(probabilities.max(axis=1) - np.array([answer.confidence for answer in answers]))
    if differ.mean() <= _DIFFER and distance.mean() <= _DISTANCE:
        log.info("repeated %s; labels that differ: %d", counted(len(answers), "stored prediction"), differ.sum())
        return None
    return (
        f"{classifier.engine.name} gives {differ.sum():,} of {len(answers):,} stored documents another label "
        f"(confidences differ by {distance.mean():.3f} on average)"
    )


def _stored(session: Session, version: ModelVersion, form: str, most: int) -> list[Answer]:
    found = predictions.newest_of(session, version.id, form, most)
    noted = VersionFigures.model_validate(model_forms.figures(session, version, form)).recheck
    ids = noted.document_ids[: most - len(found)]
    texts = labelled.texts(session, ids) if ids else {}
    for id_, label_id, confidence in zip(ids, noted.labels, noted.confidences, strict=False):
        if id_ in texts:
            found.append(Answer(texts[id_], label_id, confidence))
    return found
