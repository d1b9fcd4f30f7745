"""After a merge: snapshots before and after it, and a fair comparison with a version that knew both labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from labelled_lines import labelled_lines
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from tiny_bert import LABELS, build_tiny_bert

from classifier.checkpoint import Checkpoint
from classifier.classifier import assemble
from db.models import Label
from db.queries import merge_labels
from db.queries.labelled import labelled_documents
from sortline.settings import Settings
from trainer.data import training_data
from trainer.data.import_file import ImportReport
from trainer.data.snapshot import read_snapshot, store_snapshot
from trainer.evaluation.compare import _answers

Import = Callable[..., ImportReport]


def test_a_snapshot_names_the_same_decisions_and_keeps_its_labels(
    session: Session, settings: Settings, import_lines: Import
) -> None:
    import_lines(labelled_lines(90))
    ids = {label.name: label.id for label in session.scalars(select(Label))}
    before, made = (store(session, settings, name) for name in ("before", "made"))
    merge_labels.merge(session, ids["cash"], ids["card"], "tests")

    after = store(session, settings, "after")

    assert [name for _, name in read_snapshot(session, before).labels] == ["card", "cash", "transfer"]
    assert read_snapshot(session, after).labels == [(ids["card"], "card"), (ids["transfer"], "transfer")]
    assert decisions(session, before.id) == decisions(session, made.id) == decisions(session, after.id) != []


def store(session: Session, settings: Settings, name: str):  # type: ignore[no-untyped-def]
    return store_snapshot(session, training_data.select(labelled_documents(session)), settings.models, name)


def decisions(session: Session, snapshot_id: int) -> list[int]:
    query = text("SELECT review_id FROM snapshot_reviews WHERE snapshot_id = :id ORDER BY 1")
    return list(session.scalars(query, {"id": snapshot_id}))


def test_a_version_that_knew_both_labels_is_compared_by_the_merged_one(
    session: Session, settings: Settings, import_lines: Import, tmp_path: Path
) -> None:
    import_lines(labelled_lines(30))
    documents = labelled_documents(session)
    (tmp_path / "model").mkdir()
    build_tiny_bert(tmp_path / "model")
    description = Checkpoint(label_ids=[11, 12, 13], labels=LABELS, max_length=64, window_overlap=8, base_model="tiny")
    classifier = assemble(tmp_path / "model", description, settings)

    plain = _answers(1, classifier, documents, {}).predicted
    said = int(plain[0])
    merged = _answers(1, classifier, documents, {said: 99}).predicted

    assert merged.tolist() == np.where(plain == said, 99, plain).tolist()
