"""Model versions as they answer now: with the head of their newest revision."""

from sqlalchemy.orm import Session

from classifier.classifier import Classifier
from classifier.head import Head
from db.queries import heads


def with_newest_head(opened: Session, version_id: int, classifier: Classifier) -> Classifier:
    """The classifier of a model version with the head of its newest revision, or as it is if the version has none."""
    newest = heads.newest(opened, version_id)
    return classifier if newest is None else classifier.revised(Head.unpacked(newest.weights), newest.temperature)
