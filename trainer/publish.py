"""What a run leaves in the model store: a checkpoint with its model card, and a report beside it."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classifier.checkpoint_folder import StoredCheckpoint, write_checkpoint
from classifier.store import ModelStore
from sortline.whole_file import file_sha256
from trainer.data.training_data import TrainingData
from trainer.evaluation.forms import CANDIDATES, Tried
from trainer.evaluation.judge import Judged
from trainer.evaluation.label_errors import Suspect

_OWN = ("engine", "temperature", "threshold", "evidence", "guarantee", "fit", "offers", "latency", "recheck", "test")


@dataclass(frozen=True, slots=True)
class PublishedForm:
    """A candidate form: its name, what was found of it, and its checkpoint in the store, if it could be made."""

    tried: Tried
    judged: Judged | None
    uri: str | None
    sha256: str | None

    @property
    def figures(self) -> dict[str, Any]:
        """Its figures, for its row: its verdict, and what was measured on it and not on the version."""
        own = {} if self.judged is None else self.judged.figures.stored()
        found = {name: own[name] for name in _OWN if name in own} | {"verdict": self.tried.verdict.stored()}
        return found | ({"int8": self.tried.int8.stored()} if self.tried.int8 else {})


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint in the model store, the folder of its report, and the sha256 of the report's page."""

    uri: str
    report: str
    report_sha256: str
    stored: StoredCheckpoint


def publish(
    draft: Path,
    judged: Judged,
    data: TrainingData,
    suspects: list[Suspect],
    store: ModelStore,
    run_id: int,
    token: int,
) -> Published:
    """Write checkpoint and report, and put both into the model store; each is there whole or not at all.

    Args:
        draft: Hugging Face folder of the model.
        token: fencing token of the run: each attempt has names of its own.
    """
    name, now = checkpoint_name(run_id, token), datetime.now(UTC)
    _write_report(draft.parent / "report", judged, data, suspects, run_id, now)
    stored = write_checkpoint(draft.parent / name, judged.description, lambda folder: _save(draft, folder, judged, now))
    report_sha256 = file_sha256(draft.parent / "report" / "report.html")
    report = store.put_files(draft.parent / "report", f"{name}.report")
    return Published(store.put(stored.folder, name), report, report_sha256, stored)


def publish_form(tried: Tried, judged: Judged | None, store: ModelStore, whole: str) -> PublishedForm:
    """Put a form into the model store, in a checkpoint of its own.

    Args:
        whole: name of the whole model's checkpoint in the store, with which the form's begins.
    """
    if tried.folder is None or judged is None:
        return PublishedForm(tried, None, None, None)
    name, folder, now = f"{whole}.{tried.name}", tried.folder, datetime.now(UTC)
    stored = write_checkpoint(
        folder.parent / name, judged.description, lambda into: _save(folder, into, judged, now)
    )  # fmt: skip
    return PublishedForm(tried, judged, store.put(stored.folder, name), stored.sha256)


def withdraw(store: ModelStore, run_id: int, tokens: range) -> None:
    """Remove what attempts of an unfinished run put into the store."""
    for token in tokens:
        whole = checkpoint_name(run_id, token)
        for name in (whole, f"{whole}.report", *(f"{whole}.{form}" for form in CANDIDATES)):
            store.delete(store.uri(name))


def checkpoint_name(run_id: int, token: int) -> str:
    """The name in the store of the checkpoint that this attempt of a run makes."""
    return f"run-{run_id}-{token}"


def _save(draft: Path, folder: Path, judged: Judged, now: datetime) -> None:
    from trainer.report.model_card import model_card

    shutil.copytree(draft, folder, dirs_exist_ok=True)
    if judged.classifier.fit_model is not None:
        judged.classifier.fit_model.save(folder)
    description = judged.description
    card = model_card(
        base_model=description.base_model,
        labels=description.labels,
        figures=description.metrics,
        snapshot_sha256=description.snapshot.sha256,
        max_length=description.max_length,
        created_at=now,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _write_report(
    folder: Path, judged: Judged, data: TrainingData, suspects: list[Suspect], run_id: int, now: datetime
) -> None:
    from trainer.data.training_data import label_indices
    from trainer.report.report import NONE_FITS, ReportContent, write_report, write_texts

    place = slice(len(data.validation) + len(data.calibration), None)
    content = ReportContent(
        run_id=run_id,
        created_at=now,
        base_model=judged.description.base_model,
        labels=judged.description.labels,
        figures=judged.figures,
        targets=label_indices(data.test, data.labels),
        given=[document.label or NONE_FITS for document in data.test],
        probabilities=judged.probabilities[place],
        uncalibrated=judged.uncalibrated[place],
        document_ids=[document.id for document in data.test],
        texts=[document.text for document in data.test],
        accepted=judged.accepted[place],
        suspects=_cases(suspects, data),
    )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write_report(folder, content)
    write_texts(folder, content)


def _cases(suspects: list[Suspect], data: TrainingData) -> list[dict[str, Any]]:
    names = dict(data.labels)  # a suspect is never foreign
    listed = {each.document_id for each in suspects}
    texts = {each.id: each.text for part in (data.train, data.held_out) for each in part if each.id in listed}
    return [
        {
            "document_id": each.document_id,
            "text": texts[each.document_id],
            "given": names[each.given_label_id],
            "suggested": names[each.suggested_label_id],
            "score": each.score,
        }
        for each in suspects
    ]
