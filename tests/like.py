"""Vectors of documents that tests can foresee: a direction for each thing a text may be about."""

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ModelForm, ModelVersion
from db.queries import embeddings, model_forms
from db.queries.model_forms import WHOLE

WIDTH = 8
_ACTIVE = select(ModelVersion.id).where(ModelVersion.status == "active")


def add_vectors(
    session: Session, vectors: Mapping[int, Sequence[float]], newest: int = 1000, key: str = "tests"
) -> int:
    """Store vectors by document id, as a worker does; short ones end in zeros. Returns the encoder's id."""
    encoder_id = embeddings.encoder_id(session, key, WHOLE, WIDTH)
    rows = np.zeros((len(vectors), WIDTH), np.float32)
    for row, vector in zip(rows, vectors.values(), strict=True):
        row[: len(vector)] = vector
    version_id = session.scalars(_ACTIVE).one()
    if session.get(ModelForm, (version_id, WHOLE)) is None:
        model_forms.add(session, version_id, WHOLE, "proved", uri="nowhere", sha256="0")
    embeddings.note_encoder(session, version_id, WHOLE, encoder_id)
    embeddings.store(session, encoder_id, list(vectors), rows, newest)
    session.commit()
    return encoder_id
