"""A new revision of a starter: its last layer fitted on the vectors of what people decided, in a second or two.

Workers take the revision up for what arrives; a prediction is stored when a document is shown.
"""

import logging
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from classifier.checkpoint_folder import StoredCheckpoint
from classifier.classifier import assemble, fetch_checkpoint
from classifier.head import Head, Matrix
from classifier.store import model_store
from db import locks
from db.queries import embeddings, heads, labelled, model_versions, starters
from db.queries.labelled import Labelled
from db.session import session
from sortline.counted import counted
from sortline.settings import Settings
from trainer.data.learnable import learnable, newest_review_id
from trainer.data.split import assign_new
from trainer.data.training_data import label_indices
from trainer.descriptions import kept_descriptions
from trainer.fine_tuning.fitted_head import Before, Examples, fit
from trainer.order_anew import order_anew

log = logging.getLogger(__name__)

_SPLITS_UP_TO = 1_000  # decisions; to look for near-duplicates among more of them takes too long to be done each time
_MISSING_AT_ONCE = 64


def refit(settings: Settings) -> int | None:
    """Fit the active starter's head anew, and order what waits by it.

    Returns:
        The revision; None: no worker has noted yet what makes its vectors, or it is no longer active.

    Raises:
        SortlineError: the checkpoint can't be read, or Postgres can't be reached.
    """
    began = time.monotonic()
    with session(settings.postgres_url) as opened:
        version, encoder = model_versions.active(opened), embeddings.encoder_of_active(opened)
        if version is None or not version.starter or encoder is None:
            return None
        stored = fetch_checkpoint(version.checkpoint_uri, version.sha256, model_store(settings))
        descriptions = kept_descriptions(stored.folder)
        if descriptions is None:
            return None
        basis = starters.basis(opened, starters.labels(opened))
        if basis.decisions <= _SPLITS_UP_TO:
            assign_new(opened)
            opened.commit()
        decisions = learnable(labelled.labelled_documents(opened), set(version.label_ids))
        before = heads.newest(opened, version.id)
        vectors = _vectors(opened, settings, stored, encoder, decisions)
        seen = embeddings.newest_ones(opened, *encoder, starters.MOST_SEEN).vectors
    kept = [each for each in decisions if each.id in vectors]
    targets = label_indices(kept, [(label_id, "") for label_id in version.label_ids])
    examples = Examples(
        np.vstack([descriptions.vectors, *(vectors[each.id][None] for each in kept)]),
        np.concatenate([descriptions.targets, targets]),
        np.arange(len(descriptions.targets) + len(kept)) >= len(descriptions.targets),
    )
    earlier = None
    if before is not None:
        earlier = Before(Head.unpacked(before.weights), _learnt(examples, kept, before.figures))
    fitted = fit(examples, len(version.label_ids), seen, earlier)
    seconds = time.monotonic() - began
    figures = {**basis.stored(), "learnt": len(kept), "right": fitted.right, "seen": len(seen)}
    more = {"seconds": round(seconds, 2), "newest_review_id": newest_review_id(kept)}
    with session(settings.postgres_url) as opened:
        number = heads.add(opened, version.id, encoder[0], fitted.head.packed(), fitted.temperature, figures, more)
        opened.commit()
    if number is None:
        return None
    waiting = order_anew(settings.postgres_url, version.id, version.label_ids, encoder, fitted)
    ordered = time.monotonic() - began - seconds
    with session(settings.postgres_url) as opened:
        heads.note(opened, version.id, number, {"ordered_s": round(ordered, 2)})
        opened.commit()
    log.info(
        "revision %d of model version %d learnt from %s in %.1f s; %s ordered anew in %.1f s", number, version.id,
        counted(len(kept), "decision"), seconds, counted(waiting, "waiting document"), ordered,
    )  # fmt: skip
    return number


def _vectors(
    opened: Session, settings: Settings, stored: StoredCheckpoint, encoder: tuple[int, int], decisions: list[Labelled]
) -> dict[int, Matrix]:
    """The vector of each decided document; those that are not stored are computed and stored. It commits."""
    found = embeddings.of_documents(opened, *encoder, [each.id for each in decisions])
    vectors = dict(zip(found.ids, found.vectors, strict=True))
    missing = [each for each in decisions if each.id not in vectors]
    if not missing:
        return vectors
    opened.commit()
    classifier = assemble(stored.folder, stored.description, settings.model_copy(update={"threads": 1}))
    for start in range(0, len(missing), _MISSING_AT_ONCE):
        part = missing[start : start + _MISSING_AT_ONCE]
        made = classifier.outputs([each.text for each in part]).vectors
        there = set(locks.hold_documents(opened, [each.id for each in part]))
        rows = [row for row, each in enumerate(part) if each.id in there]
        embeddings.store(opened, encoder[0], [part[row].id for row in rows], made[rows], 0)
        opened.commit()
        vectors |= {part[row].id: made[row] for row in rows}
    return vectors


def _learnt(examples: Examples, kept: Sequence[Labelled], figures: dict[str, object]) -> NDArray[np.bool_]:
    """Which examples an earlier revision has learnt: descriptions, and decisions that were made by then."""
    newest = int(str(figures.get("newest_review_id", 0)))
    by_then = [max(each.review_ids) <= newest for each in kept]
    return np.concatenate([~examples.decided[: len(examples.decided) - len(kept)], np.array(by_then, np.bool_)])
