"""Documents whose human label is likely wrong: a list for people to look at. No label is ever changed here.

Confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
Journal of Artificial Intelligence Research 70, 2021), by cleanlab, on probabilities of models that never saw the
label they are asked about.
"""

import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.batching import COARSE_STEP, ForwardBatch, batches
from classifier.cleaning import Cleaning
from classifier.engines.choose import cores
from classifier.tokens import longest_input
from db.queries.labelled import Labelled
from sortline.errors import TrainingError
from sortline.logs import silence_telemetry
from sortline.settings import Settings
from trainer.tokenizer import save_tokenizer, training_tokenizer
from trainer.training_data import TrainingData

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Matrix = NDArray[np.float32]
Indices = NDArray[np.int64]

_MOST_DOCUMENTS = 20_000
_MOST_SUSPECTS = 1_000
_MOST_LABELS = 1_000  # confident learning holds tables of labels by labels
_FOLDS = 5
_MAX_LENGTH = 256  # tokens of a text that its embedding sees
# Of 5 % labels of banking77 that were changed at random, this rule found 92 % among 647 suspects (C = 10; 1 and 30 were
# no better), prune_by_noise_rate 80 % among 584; of those changed to one of the three nearest labels, 85 % among 653.
_RULE = "prune_by_class"
_INVERSE_PENALTY = 10.0  # scikit-learn's C
_TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 16384}
_BATCH_OVERHEAD = 32  # what a forward pass costs beside its tokens, in tokens


@dataclass(frozen=True, slots=True)
class Suspect:
    """A document whose label is likely wrong.

    ``score`` is cleanlab's label quality, here the probability (0 to 1) that a model gives to the given label: a
    low one says that the label is likely wrong.
    """

    document_id: int
    given_label_id: int
    suggested_label_id: int
    score: float

    def as_item(self, names: Mapping[int, str]) -> dict[str, Any]:
        """As it waits at the desk, given the labels' names by id."""
        given, suggested = names[self.given_label_id], names[self.suggested_label_id]
        note = f"Labelled {given}; a model that never saw that label says {suggested}."
        return {
            "document_id": self.document_id, "score": self.score, "label_id": self.suggested_label_id, "note": note,
        }  # fmt: skip


class HeldOut(NamedTuple):
    """Documents that the fine-tuned model never saw, and its calibrated probabilities (n, labels) of them."""

    documents: list[Labelled]
    probabilities: Matrix


def find_label_errors(
    data: TrainingData, base: Path, cleaning: Cleaning, held_out: HeldOut | None, settings: Settings
) -> list[Suspect]:
    """Documents whose human label is likely wrong, the likeliest first, at most 1,000.

    Training documents are judged by 5-fold cross-validation, near-duplicates in one fold, of a multinomial
    logistic regression on sentence embeddings of the pretrained encoder; held-out ones by the fine-tuned model.
    Each set is judged by itself, because confident learning compares a document's probabilities with the mean
    ones of its label. Of more than 20,000 training documents only the newest 20,000 (greatest ids) are looked at,
    and of more than 1,000 labels none. A document whose label no other fold has is left out: nothing could have
    spoken for that label.

    Args:
        data: its ``labels`` give the order of the columns of all probabilities.
        base: folder of the pretrained encoder, in Hugging Face format.
        cleaning: of the texts, as the encoder is trained with.
        held_out: of validation, calibration and test; None or empty where there are none.
        settings: say which device and how many threads.

    Raises:
        TrainingError: the encoder or its tokenizer can't be loaded.
        CheckpointError: the encoder's config or tokenizer can't be read.
    """
    if len(data.labels) > _MOST_LABELS:
        log.warning("label errors are not looked for among %d labels; %d are the most", len(data.labels), _MOST_LABELS)
        return []
    newest = sorted(data.train, key=attrgetter("id"))[-_MOST_DOCUMENTS:]
    given = _indices(newest, data.labels)
    embeddings = sentence_embeddings([cleaning(document.text) for document in newest], base, settings)
    probabilities, judged = _cross_validated(embeddings, given, _folds(newest), len(data.labels))
    chosen = [newest[int(i)] for i in np.flatnonzero(judged)]
    found = _suspects(chosen, given[judged], probabilities[judged], data.labels)
    if held_out is not None:
        given = _indices(held_out.documents, data.labels)
        found += _suspects(held_out.documents, given, held_out.probabilities, data.labels)
    return sorted(found, key=attrgetter("score", "document_id"))[:_MOST_SUSPECTS]


def sentence_embeddings(texts: Sequence[str], base: Path, settings: Settings) -> Matrix:
    """Unit vectors (n, width): the mean over a text's tokens of the encoder's last hidden state.

    The pooling of Reimers and Gurevych, "Sentence-BERT", 2019. Of a text the first 256 tokens count.

    Raises:
        TrainingError: the encoder or its tokenizer can't be loaded, or there is no such device.
        CheckpointError: the encoder's config or tokenizer can't be read.
    """
    import torch

    with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
        save_tokenizer(base, Path(folder))
        # Batches pad to multiples of 8, which must not be more than the encoder takes.
        longest = min(_MAX_LENGTH, longest_input(base) // COARSE_STEP * COARSE_STEP)
        tokenizer = training_tokenizer(Path(folder), base, longest)
    device = _device(settings)
    encoder = _encoder(base, device)
    embeddings = np.zeros((len(texts), encoder.config.hidden_size), np.float32)
    packed = batches(tokenizer.prepare(texts), _TOKENS_PER_BATCH[device.type], _BATCH_OVERHEAD, tokenizer.pad_id)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=_has_bf16(device)):
        for batch in packed:
            embeddings[batch.documents] = _pooled(encoder, batch, device)
    return embeddings


def _pooled(encoder: Any, batch: ForwardBatch, device: "torch.device") -> Matrix:
    import torch

    input_ids, mask = (torch.from_numpy(array).to(device) for array in (batch.input_ids, batch.attention_mask))
    states = encoder(input_ids=input_ids, attention_mask=mask).last_hidden_state.float()
    sums = (states * mask.unsqueeze(-1)).sum(dim=1)
    # The length of the mean and that of the sum differ by a factor that normalising takes away.
    return np.asarray(torch.nn.functional.normalize(sums).cpu().numpy(), np.float32)


def _encoder(base: Path, device: "torch.device") -> Any:
    silence_telemetry()
    from safetensors import SafetensorError
    from transformers import AutoModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = AutoModel.from_pretrained(
            base, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype="float32"
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise TrainingError(f"base model {base} can't be loaded: {str(error).splitlines()[0]}") from None
    return model.eval().to(device)


def _device(settings: Settings) -> "torch.device":
    import torch

    if settings.device != "cpu" and torch.cuda.is_available():
        return torch.device("cuda")
    if settings.device == "cuda":
        raise TrainingError("device cuda was asked for, but torch finds none")
    torch.set_num_threads(cores(settings))
    return torch.device("cpu")


def _has_bf16(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _folds(documents: Sequence[Labelled]) -> Indices:
    """Fold of each document, (n,): near-duplicates share one, and each label is spread as evenly as that allows.

    Groups are dealt to the folds in turn, ordered by label, which works for any number of documents, where
    scikit-learn's StratifiedGroupKFold asks for as many examples of some label as there are folds.
    """
    labels: dict[int, int] = {}
    for document in documents:
        labels.setdefault(_group(document), document.label_id)
    dealt = {group: rank % _FOLDS for rank, group in enumerate(sorted(labels, key=lambda each: (labels[each], each)))}
    return np.array([dealt[_group(document)] for document in documents], np.int64)


def _group(document: Labelled) -> int:
    return document.id if document.group_id is None else document.group_id


def _cross_validated(
    embeddings: Matrix, given: Indices, folds: Indices, labels: int
) -> tuple[Matrix, NDArray[np.bool_]]:
    """Out-of-sample probabilities (n, labels), and for which documents (n,) another fold has their label."""
    from sklearn.linear_model import LogisticRegression

    probabilities = np.zeros((len(given), labels), np.float32)
    judged = np.zeros(len(given), np.bool_)
    for fold in np.unique(folds):
        inside, others = folds == fold, folds != fold
        known = np.unique(given[others])
        if len(known) < 2:  # nothing to tell apart
            continue
        model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=200, tol=1e-3)
        model.fit(embeddings[others], given[others])
        probabilities[np.ix_(inside, known)] = model.predict_proba(embeddings[inside])
        judged[inside] = np.isin(given[inside], known)
    return probabilities, judged


def _suspects(
    documents: Sequence[Labelled], given: Indices, probabilities: Matrix, labels: Sequence[tuple[int, str]]
) -> list[Suspect]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    if len(np.unique(given)) < 2:  # cleanlab takes no less
        return []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "May not flag all label issues")  # of labels with one example
        issues = find_label_issues(given, probabilities, filter_by=_RULE, n_jobs=1)
    scores = get_label_quality_scores(given, probabilities, method="self_confidence")
    suggested = probabilities.argmax(axis=1)
    return [
        Suspect(documents[i].id, documents[i].label_id, labels[suggested[i]][0], float(scores[i]))
        for i in np.flatnonzero(issues).tolist()
    ]


def _indices(documents: Sequence[Labelled], labels: Sequence[tuple[int, str]]) -> Indices:
    """Column of each document's label, (n,)."""
    column = {label_id: i for i, (label_id, _) in enumerate(labels)}
    return np.array([column[document.label_id] for document in documents], np.int64)
