"""A starter: a model version made in seconds from labels' names, guidelines, examples and the first decisions.

`python -m trainer.starter` makes one if it is due, or a revision (`trainer.refit`, `trainer.adapt`). Housekeeping
starts it, in a process of its own, so that a fine-tuning does not hold it up. It is an ordinary checkpoint, a sentence
encoder with a fitted head, and the same workers load it. It suggests: its threshold accepts nothing.
"""

import logging
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classifier.base_tokenizer import save_tokenizer, training_tokenizer
from classifier.checkpoint import Calibration, Checkpoint
from classifier.checkpoint_folder import StoredCheckpoint, write_checkpoint
from classifier.classifier import fetch_checkpoint
from classifier.figures import StarterFigures, VersionFigures
from classifier.head import Matrix
from classifier.risk_targets import ACCEPTS_NOTHING
from classifier.store import ModelStore, model_store
from classifier.tokens import DEFAULT_OVERLAP, WindowTokenizer
from db.queries import embeddings, heads, labelled, model_forms, model_versions, starters
from db.queries.labelled import Labelled
from db.queries.starters import Basis, Described
from db.session import session
from sortline.counted import counted
from sortline.errors import ConflictError
from sortline.logs import set_up_logging, silence_telemetry
from sortline.settings import Settings, get_settings
from sortline.whole_file import file_sha256
from trainer.adapt import adapt_trained
from trainer.data.learnable import learnable, newest_review_id
from trainer.data.split import assign_new
from trainer.data.training_data import label_indices
from trainer.descriptions import Descriptions, keep_descriptions
from trainer.fine_tuning.base_check import usable_base
from trainer.fine_tuning.fine_tune import Examples, Job
from trainer.fine_tuning.fitted_head import Fitted
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.pooling import pools_by_mean
from trainer.fine_tuning.prepare import longest_window
from trainer.fine_tuning.work_folder import trainings_folder
from trainer.order_anew import order_anew
from trainer.refit import refit

log = logging.getLogger(__name__)

_SEEN = 200  # documents as they come, from which a starter learns before they have vectors
_CHARS = 2_000  # of a text that describes a label
_SENTENCE = re.compile(r"(?<=[.!?。])\s+|\n+")


def make_starter(settings: Settings) -> int | None:
    """Make a starter and let it serve, if one is due.

    Returns:
        The model version's id; None if none is due, or somebody changed versions meanwhile.

    Raises:
        SortlineError: the base model can't be used, or a server can't be reached.
    """
    began = time.monotonic()
    with session(settings.postgres_url) as opened:
        if starters.due(opened) != "version":
            return None
        assign_new(opened)
        opened.commit()
        found = starters.labels(opened)
        basis = starters.basis(opened, found)
        active = model_versions.active(opened)
        before = active.id if active else 0
        decisions = learnable(labelled.labelled_documents(opened), {each.id for each in found})
        seen = labelled.newest_texts(opened, _SEEN)
    store, place = model_store(settings), trainings_folder(settings.data_dir)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="forms-", dir=place) as work:
        made = _write(settings, Path(work), found, decisions, seen, basis)
        uri = store.put(made.stored.folder, f"starter-{time.time_ns():x}")
    version_id = _activate(settings, store, made, uri, before)
    if version_id is not None:
        log.info(
            "model version %d is a starter of %s and %s, made in %.1f s", version_id, counted(len(found), "label"),
            counted(len(decisions), "decision"), time.monotonic() - began,
        )  # fmt: skip
    return version_id


class _Made(NamedTuple):
    stored: StoredCheckpoint
    fitted: Fitted
    newest_review_id: int


def _write(
    settings: Settings, work: Path, found: Sequence[Described], decisions: Sequence[Labelled], seen: Sequence[str],
    basis: Basis,
) -> _Made:  # fmt: skip
    import torch

    from trainer.fine_tuning.fitted_head import Examples as Fit
    from trainer.fine_tuning.fitted_head import fit
    from trainer.fine_tuning.frozen_encoder import frozen_encoder, vectors
    from trainer.fine_tuning.trainee import last_linear

    base = usable_base(settings.base_model)
    parameters = Parameters().settled(len(decisions), len(found), pools_by_mean(base))
    length, names = longest_window(base, parameters), [each.name for each in found]
    save_tokenizer(base, _made(work / "tokenizer"))
    tokenizer = training_tokenizer(work / "tokenizer", base, length)
    places = {each.id: place for place, each in enumerate(found)}
    described = [(text, places[each.id]) for each in found for text in described_by(each)]
    decided_labels = label_indices(decisions, [(each.id, each.name) for each in found])
    targets = np.concatenate([np.array([place for _, place in described], np.int64), decided_labels])
    description = Checkpoint(
        label_ids=[each.id for each in found],
        labels=names,
        max_length=length,
        window_overlap=min(DEFAULT_OVERLAP, length // 4),
        base_model=settings.base_model,
    )
    description = description.model_copy(update={"encoder": _encoder_of(base, description)})
    job = Job(base, names, Examples([], []), Examples([], []), tokenizer.pad_id, parameters)
    model = frozen_encoder(job)

    def read(some: Sequence[str]) -> Any:
        return vectors(model, _windows(tokenizer, description, some), len(names), tokenizer.pad_id)

    known, seen_vectors = _known_vectors(settings, description, decisions)
    missing = [each for each in decisions if each.id not in known]
    known |= dict(zip((each.id for each in missing), read([each.text for each in missing]), strict=True))
    descriptions = Descriptions(read([text for text, _ in described]), targets[: len(described)])
    found_vectors = np.vstack([descriptions.vectors, *(known[each.id][None] for each in decisions)])
    decided = np.arange(len(targets)) >= len(described)
    if len(seen_vectors) < len(seen):
        seen_vectors = read(seen)
    fitted = fit(Fit(found_vectors, targets, decided), len(names), seen_vectors)
    head = last_linear(model, len(names))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(fitted.head.weight))
        head.bias.copy_(torch.from_numpy(fitted.head.bias))
    model.save_pretrained(_made(work / "model"))
    figures = VersionFigures(
        temperature=fitted.temperature,
        threshold=ACCEPTS_NOTHING,
        starter=StarterFigures(
            **basis.stored(), learnt=len(decisions), right=fitted.right, seen=max(len(seen_vectors), _SEEN)
        ),
    )
    calibration = Calibration(temperature=fitted.temperature, threshold=ACCEPTS_NOTHING)
    complete = description.model_copy(update={"calibrations": {"default": calibration}, "metrics": figures})
    stored = write_checkpoint(work / "checkpoint", complete, lambda into: _fill(work, into, descriptions))
    return _Made(stored, fitted, newest_review_id(decisions))


def _known_vectors(
    settings: Settings, description: Checkpoint, decisions: Sequence[Labelled]
) -> tuple[dict[int, Matrix], Matrix]:
    """The stored vectors that a starter with the same encoder made: of decisions, and of the newest documents."""
    with session(settings.postgres_url) as opened:
        encoder = embeddings.encoder_of_active(opened)
        active = model_versions.active(opened)
        none: tuple[dict[int, Matrix], Matrix] = {}, np.zeros((0, 0), np.float32)
        if encoder is None or active is None:
            return none
        before = fetch_checkpoint(active.checkpoint_uri, active.sha256, model_store(settings)).description
        if before.encoder != description.encoder:
            return none
        found = embeddings.of_documents(opened, *encoder, [each.id for each in decisions])
        newest = embeddings.newest_ones(opened, *encoder, starters.MOST_SEEN)
    return dict(zip(found.ids, found.vectors, strict=True)), newest.vectors


def described_by(label: Described) -> list[str]:
    """The texts that say what a label means: its name in words, the sentences of its guideline, its examples."""
    name = re.sub(r"[_\-/|.]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label.name)).strip() or label.name
    sentences = [each.strip(" #*->`") for each in _SENTENCE.split(label.description[:_CHARS])]
    found = [name, *(each for each in sentences if each), *(each[:_CHARS] for each in label.examples)]
    return list(dict.fromkeys(found))  # a sentence that is repeated says no more than once


def _windows(tokenizer: WindowTokenizer, description: Checkpoint, texts: Sequence[str]) -> list[list[int]]:
    return [each.windows[0] for each in tokenizer.prepare([description.cleaning(text) for text in texts])]


def _activate(settings: Settings, store: ModelStore, made: _Made, uri: str, before: int) -> int | None:
    """Let a starter serve in place of the version that was active when it was begun; remove what it supersedes.

    What waits, and has a vector by the same encoder, is scored by it at once.
    """
    stored, fitted, newest = made
    description, width = stored.description, fitted.head.weight.shape[1]
    assert description.encoder is not None
    try:
        with session(settings.postgres_url) as opened:
            version = model_versions.create(
                opened,
                starter=True,
                checkpoint_uri=uri,
                sha256=stored.sha256,
                base_model=description.base_model,
                parent_id=before or None,
                label_ids=description.label_ids,
                metrics=description.metrics.stored(),
            )
            model_forms.add(opened, version.id, model_forms.WHOLE, "proved", uri=uri, sha256=stored.sha256)
            model_versions.activate(opened, version.id, "starter", leave=before)
            encoder_id = embeddings.encoder_id(opened, description.encoder, model_forms.WHOLE, width)
            embeddings.note_encoder(opened, version.id, model_forms.WHOLE, encoder_id)
            if before:  # so that what waits is predicted by it when it is shown
                figures = description.metrics.starter.stored()
                weights, more = fitted.head.packed(), {"newest_review_id": newest}
                heads.add(opened, version.id, encoder_id, weights, fitted.temperature, figures, more)
            removed = [each.checkpoint_uri for each in starters.superseded(opened)]
            opened.commit()
            version_id = version.id
    except ConflictError as error:
        log.info("the starter does not serve: %s", error)
        store.delete(uri)
        return None
    for each in removed:
        store.delete(each)
    order_anew(settings.postgres_url, version_id, description.label_ids, (encoder_id, width), fitted)
    return version_id


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _fill(work: Path, into: Path, descriptions: Descriptions) -> None:
    shutil.copytree(work / "model", into, dirs_exist_ok=True)
    shutil.copytree(work / "tokenizer", into, dirs_exist_ok=True)
    keep_descriptions(into, descriptions)


def _encoder_of(base: Path, description: Checkpoint) -> str:
    """sha256 of what makes the vectors of a starter: those of another starter with the same can be compared."""
    files = sorted((*base.glob("*.safetensors"), *base.glob("*.json"), *base.glob("*.txt")))
    parts = [f"{path.name} {file_sha256(path)}" for path in files]
    parts += [str(description.max_length), str(description.window_overlap)]
    return sha256("\n".join(parts).encode()).hexdigest()


def main() -> None:
    """Make a starter, or a revision of the active version, whichever is due."""
    silence_telemetry()
    settings = get_settings()
    set_up_logging(settings.log_level, settings.log_format)
    with session(settings.postgres_url) as opened:
        due = starters.due(opened)
    if due == "version":
        make_starter(settings)
    elif due == "revision":
        refit(settings)
    else:
        adapt_trained(settings)


if __name__ == "__main__":
    main()
