"""Model versions of tiny real encoders that differ, and documents on which they do."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session
from tiny_bert import LABELS, build_tiny_checkpoint

from db.models import Label
from db.queries import model_versions

TEXTS = {f"doc {i}": f"{'where is my card ' * (i % 4 + 1)}{'cash transfer ' * (i % 3)}please {i}" for i in range(70)}


def add_version(session: Session, folder: Path, seed: int) -> int:
    if not session.scalars(select(Label)).all():
        session.add_all([Label(id=11 + i, name=name) for i, name in enumerate(LABELS)])
    stored = build_tiny_checkpoint(folder / f"checkpoint-{seed}", seed=seed, calibrations={"default": {"threshold": 2}})
    version = model_versions.create(
        session, checkpoint_uri=str(stored.folder), sha256=stored.sha256, base_model="tiny", label_ids=[11, 12, 13]
    )
    session.commit()
    return version.id


def promote(session: Session, version_id: int) -> None:
    model_versions.activate(session, version_id, "me")
    session.commit()
