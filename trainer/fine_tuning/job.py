"""The job of a fine-tuning, handed to its process as plain files, without pickle."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sortline.whole_file import write_whole
from trainer.fine_tuning.kept_embeddings import FILE
from trainer.fine_tuning.parameters import Parameters, read_parameters
from trainer.fine_tuning.pooling import pools_by_mean

BEGIN = "micro-batch"  # the file that lets the process begin: how many documents to compute at once


class TokenIds(Sequence[NDArray[np.int32]]):
    """Token ids of documents, special tokens included, in one array: 4 bytes a token, where lists take 36.

    Args:
        ids: of all documents, one after another.
        bounds: where each begins, and where the last one ends; (n + 1,).
    """

    def __init__(self, ids: NDArray[np.int32], bounds: NDArray[np.int64]) -> None:
        self.ids, self.bounds = ids, bounds

    @staticmethod
    def of(documents: "Sequence[Sequence[int]] | TokenIds") -> "TokenIds":
        """The same documents in one array."""
        if isinstance(documents, TokenIds):
            return documents
        bounds = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        return TokenIds(np.fromiter(chain.from_iterable(documents), np.int32, int(bounds[-1])), bounds)

    @staticmethod
    def joined(parts: "Sequence[TokenIds]") -> "TokenIds":
        """All documents of some such arrays."""
        lengths = [each.lengths for each in parts]
        ids = [each.ids for each in parts]
        bounds = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
        return TokenIds(np.concatenate([np.empty(0, np.int32), *ids]), bounds)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each document, (n,)."""
        return np.diff(self.bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place = int(place) % len(self)
        return self.ids[self.bounds[place] : self.bounds[place + 1]]


@dataclass(frozen=True, slots=True)
class Examples:
    """Token ids, special tokens included, of each document; ``targets`` are indices into the job's labels.

    A target of -1 has no label; only a teacher can say something of such a document.
    """

    documents: Sequence[Sequence[int]] | TokenIds
    targets: list[int]


@dataclass(frozen=True, slots=True)
class Taught:
    """What a teacher gives for n documents: its logits (n, labels), and the vectors (n, d) that its head is given.

    Vectors (n, 0): only its answers are learnt.
    """

    logits: NDArray[np.float16]
    vectors: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Job:
    """A fine-tuning.

    ``base``: folder of the encoder, or of the parent's checkpoint where ``rows`` says for each label which row of
    the parent's head it starts from, -1 for a new label; ``pad_id``: token id of the padding; ``parameters``:
    settled ones. With an empty ``validation`` every epoch is run, and the last one counts. ``teacher``: what another
    model gives for the documents of ``train``, which is half of what is learnt.
    """

    base: Path
    labels: list[str]
    train: Examples
    validation: Examples
    pad_id: int
    parameters: Parameters
    rows: list[int] | None = None
    teacher: Taught | None = None

    @property
    def begins_fitted(self) -> bool:
        """Whether a new head is fitted on sentence embeddings before the fine-tuning."""
        return self.rows is None and pools_by_mean(self.base)


def open_job(job: Job, work: Path, description: dict[str, Any]) -> None:
    """Write the job into its work folder; what another job left there is removed.

    Args:
        description: how it is run, which may change from one attempt to the next.
    """
    tokens = {
        f"{name}_{part}": array
        for name, examples in (("train", job.train), ("validation", job.validation))
        for part, array in _arrays(examples).items()
    }
    if job.teacher is not None:
        tokens |= {"teacher_logits": job.teacher.logits, "teacher_vectors": job.teacher.vectors}
    content = {
        "base": str(job.base),
        "labels": job.labels,
        "pad_id": job.pad_id,
        "rows": job.rows,
        "parameters": job.parameters.model_dump(mode="json", exclude={"cleaning"}),
    }
    digest = hashlib.sha256(json.dumps(content).encode())
    for array in tokens.values():
        digest.update(array.tobytes())
    content |= {"sha256": digest.hexdigest(), **description}
    known = work / "job.json"
    if not known.is_file() or json.loads(known.read_text())["sha256"] != content["sha256"]:
        for name in ("model", "state.pt", "best.pt", "step", "learning.json", "job.json", FILE):
            _remove(work / name)
        work.mkdir(parents=True, exist_ok=True)
        with (work / "tokens.npz").open("wb") as file:
            np.savez(file, **tokens)  # type: ignore[arg-type]
    write_whole(known, json.dumps(content).encode())


def read_job(work: Path) -> tuple[Job, dict[str, Any]]:
    """The job of a work folder, and how it is run."""
    content = json.loads((work / "job.json").read_text())
    with np.load(work / "tokens.npz", allow_pickle=False) as tokens:
        train, validation = (_examples(tokens, name) for name in ("train", "validation"))
        has_teacher = "teacher_logits" in tokens
        teacher = Taught(tokens["teacher_logits"], tokens["teacher_vectors"]) if has_teacher else None
    parameters = read_parameters(content["parameters"])
    job = Job(
        Path(content["base"]), content["labels"], train, validation, content["pad_id"], parameters, content["rows"],
        teacher,
    )  # fmt: skip
    return job, content


def _arrays(examples: Examples) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    documents = TokenIds.of(examples.documents)
    return {"ids": documents.ids, "bounds": documents.bounds, "targets": np.array(examples.targets, np.int64)}


def _examples(tokens: Any, name: str) -> Examples:
    documents = TokenIds(tokens[f"{name}_ids"], tokens[f"{name}_bounds"])
    return Examples(documents, tokens[f"{name}_targets"].tolist())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
