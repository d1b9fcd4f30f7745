"""What a starter has learnt since it predicted a document: its newest revision answers when the document is shown."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session

from classifier.calibration import softmax
from classifier.head import Head
from db.queries import embeddings, heads, model_versions, revised_predictions
from db.queries.revised_predictions import Newest


class _Loaded(NamedTuple):
    newest: Newest
    head: Head
    temperature: float
    encoder_id: int
    label_ids: list[int]


_last: list[_Loaded] = []  # the one that was used last; unpacking it takes longer than using it


def predict_anew(session: Session, ids: Sequence[int]) -> None:
    """Store the newest revision's predictions of these documents, from their vectors, where older ones are newest.

    Without a revision, or a document's vector, nothing changes. The caller commits.
    """
    newest = revised_predictions.newest(session)
    if newest is None or not ids:
        return
    stale = revised_predictions.stale(session, newest, ids)
    if not stale:
        return
    loaded = _load(session, newest)
    if loaded is None:
        return
    width = loaded.head.weight.shape[1]
    known, vectors = embeddings.of_documents(session, loaded.encoder_id, width, stale)
    probabilities = softmax(loaded.head.logits(vectors), loaded.temperature)
    best = probabilities.argmax(axis=1)
    revised_predictions.store(session, newest, [
        {"document_id": id_, "label": loaded.label_ids[int(best[i])], "confidence": float(probabilities[i, best[i]]),
         "probabilities": probabilities[i]}
        for i, id_ in enumerate(known)
    ])  # fmt: skip


def _load(session: Session, newest: Newest) -> _Loaded | None:
    """The head of a revision; None: there is a newer one by now."""
    if not _last or _last[0].newest != newest:
        found = heads.newest(session, newest.version_id)
        if found is None or found.revision != newest.revision:
            return None
        label_ids = model_versions.get(session, newest.version_id).label_ids
        _last[:] = [_Loaded(newest, Head.unpacked(found.weights), found.temperature, found.encoder_id, label_ids)]
    return _last[0]
