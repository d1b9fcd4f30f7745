"""A revision of a trained version: its last layer moves a little towards what was decided since its training.

It does where cross-validation shows that this helps, and changes suggestions and their order only, never what is
accepted or sent.
"""

import logging
import time
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from classifier.checkpoint import Checkpoint
from classifier.classifier import fetch_checkpoint
from classifier.head import read_head
from classifier.store import model_store
from db.models import ModelVersion
from db.queries import embeddings, heads, labelled, model_forms, model_versions, revisions
from db.queries.model_forms import WHOLE
from db.session import session
from sortline.counted import counted
from sortline.settings import Settings
from trainer.data.learnable import learnable, newest_review_id
from trainer.data.training_data import label_indices
from trainer.fine_tuning.adapted_head import adapt
from trainer.order_anew import order_anew

log = logging.getLogger(__name__)

_MOST_SINCE = 2_000  # decisions since a training


def adapt_trained(settings: Settings) -> int | None:
    """Move the active trained version's last layer towards what was decided since, and order what waits by it.

    Returns:
        The revision, which may be the layer as it was trained; None: none is due, or it is no longer active.

    Raises:
        SortlineError: the checkpoint can't be read, or Postgres can't be reached.
    """
    began = time.monotonic()
    with session(settings.postgres_url) as opened:
        trained, encoder = revisions.due(opened), embeddings.encoder_of_active(opened)
        if trained is None or encoder is None:
            return None
        version = model_versions.get(opened, trained.version_id)
        description, folder = _with_weights(opened, settings, version)
        label_ids = description.label_ids
        since = [
            each for each in learnable(labelled.labelled_documents(opened), set(label_ids))
            if max(each.review_ids) > trained.trained_up_to
        ][-_MOST_SINCE:]  # fmt: skip
        known = embeddings.of_documents(opened, *encoder, [each.id for each in since])
    vectors = dict(zip(known.ids, known.vectors, strict=True))
    kept = [each for each in since if each.id in vectors]
    targets = label_indices(kept, [(label_id, "") for label_id in label_ids])
    matrix = np.vstack([np.empty((0, encoder[1]), np.float32), *(vectors[each.id][None] for each in kept)])
    temperature = description.calibrations["default"].temperature
    adapted = adapt(read_head(folder, len(label_ids)), temperature, matrix, targets)
    more = {
        "learnt": len(kept), "right": adapted.right, "gain": adapted.gain, "newest_review_id": newest_review_id(since),
        "seconds": round(time.monotonic() - began, 2),
    }  # fmt: skip
    with session(settings.postgres_url) as opened:
        number = heads.add(opened, version.id, encoder[0], adapted.head.packed(), adapted.temperature, None, more)
        opened.commit()
    if number is None:
        return None
    waiting = order_anew(settings.postgres_url, version.id, label_ids, encoder, adapted)
    log.info(
        "revision %d of model version %d: of %s since its training, %d more are right; %s ordered by it in %.1f s",
        number, version.id, counted(len(kept), "decision"), adapted.gain, counted(waiting, "waiting document"),
        time.monotonic() - began,
    )  # fmt: skip
    return number


def _with_weights(opened: Session, settings: Settings, version: ModelVersion) -> tuple[Checkpoint, Path]:
    """Description and folder of the form that serves; for int8, which has no such weights, of what it was made of."""
    sealed = model_forms.sealed(opened, version, "student" if version.form.startswith("student") else WHOLE)
    stored = fetch_checkpoint(sealed.uri, sealed.sha256, model_store(settings))
    return stored.description, stored.folder
