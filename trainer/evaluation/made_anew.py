"""Cross-validates a candidate together with a starter: for each fold both are made anew without its documents.

Only decisions that may be held out are judged: of a doubtful document the starter was unsure, so that a comparison on
those would favour the candidate. All others are learnt in every fold.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.base_tokenizer import fast_tokenizer
from classifier.checkpoint import Checkpoint
from classifier.classifier import Classifier
from classifier.cleaning import Cleaning
from classifier.tokens import WindowTokenizer, padding_id
from sortline.counted import counted
from trainer.data.training_data import TrainingData
from trainer.evaluation.against_starter import NONE, Unlearnt
from trainer.evaluation.cross_validation import folds_of
from trainer.fine_tuning.base_check import usable_base
from trainer.fine_tuning.fine_tune import Examples, Job, Machine, Progress, fine_tune
from trainer.fine_tuning.fitted_head import Examples as Fit
from trainer.fine_tuning.fitted_head import fit
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.pooling import pools_by_mean
from trainer.fine_tuning.prepare import longest_window

MOST_DOCUMENTS = 1_000  # training ones: a fine-tuning for each of five folds must not take hours

OnProgress = Callable[[str, Progress], None]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Made:
    """How a candidate was made, so that it can be made again with fewer documents.

    ``tokenizer``: folder of its tokenizer; ``assemble``: gives the classifier of a folder with model and tokenizer.
    """

    job: Job
    description: Checkpoint
    tokenizer: Path
    machine: Machine
    assemble: Callable[[Path, Checkpoint], Classifier]


@dataclass(frozen=True)
class StarterBasis:
    """What the starter is made of beside decisions: its base model, its labels' ids, and (text, label id) of each."""

    base_model: str
    label_ids: Sequence[int]
    described: Sequence[tuple[str, int]]


def answers_of_both(
    candidate: Made, starter: StarterBasis, data: TrainingData, work: Path, on_progress: OnProgress
) -> Unlearnt:
    """Answers to the training documents that may be held out, each by two models that had not learnt it.

    Returns:
        None of them if there are more than 1,000 training documents, which takes too long, or if the candidate began
        as the starter.

    Raises:
        TrainingError: the base model can't be loaded, or memory or disk are too small.
        CheckpointError: a model can't be assembled.
    """
    fair = np.array([document.may_be_held_out for document in data.train], np.bool_)
    begins_taught = candidate.job.rows is not None  # from a starter that has learnt all of them
    if not fair.any() or len(data.train) > MOST_DOCUMENTS or begins_taught:
        return NONE
    truth = np.array([document.label_id for document in data.train], np.int64)
    folds = folds_of(data.train)
    with _few_threads():
        vectors = _starter_vectors(starter, [document.text for document in data.train])
    found = NONE
    judged = [int(fold) for fold in np.unique(folds[fair]) if len(np.unique(truth[folds != fold])) > 1]
    for number, fold in enumerate(judged, start=1):
        inside, others = np.flatnonzero((folds == fold) & fair), np.flatnonzero(folds != fold)
        stage = f"cross-validating against the starter, {number} of {counted(len(judged), 'fold')}"
        mine = _candidate_answers(candidate, data, inside, others, work / "fold", stage, on_progress)
        with _few_threads():
            theirs = _starter_answers(starter, vectors, truth, inside, others)
        found = found.with_more(Unlearnt(truth[inside], mine, theirs))
    return found


def _candidate_answers(
    made: Made, data: TrainingData, inside: NDArray[np.int64], others: NDArray[np.int64], work: Path, stage: str,
    on_progress: OnProgress,
) -> NDArray[np.int64]:  # fmt: skip
    train = made.job.train
    kept = Examples([train.documents[i] for i in others], [train.targets[i] for i in others])
    fine_tune(replace(made.job, train=kept), work, made.machine, lambda progress: on_progress(stage, progress))
    draft = work / "draft"
    shutil.copytree(work / "model", draft)
    shutil.copytree(made.tokenizer, draft, dirs_exist_ok=True)
    logits = made.assemble(draft, made.description).logits([data.train[i].text for i in inside])
    shutil.rmtree(work)
    found: NDArray[np.int64] = np.array(made.description.label_ids, np.int64)[logits.argmax(axis=1)]
    return found


def _starter_vectors(starter: StarterBasis, texts: Sequence[str]) -> Vectors:
    """What the head of a starter reads (n, d): of the texts that describe labels, then of these."""
    from trainer.fine_tuning.frozen_encoder import frozen_encoder, vectors

    base, names = usable_base(starter.base_model), [str(each) for each in starter.label_ids]
    parameters = Parameters().settled(len(texts), len(names), pools_by_mean(base))
    length = longest_window(base, parameters)
    tokenizer = WindowTokenizer(fast_tokenizer(base), length, "truncate", 0, padding_id(base))
    model = frozen_encoder(Job(base, names, Examples([], []), Examples([], []), tokenizer.pad_id, parameters))
    cleaning = Cleaning()
    prepared = tokenizer.prepare([cleaning(text) for text in [*(text for text, _ in starter.described), *texts]])
    return vectors(model, [each.windows[0] for each in prepared], len(names), tokenizer.pad_id)


def _starter_answers(
    starter: StarterBasis, vectors: Vectors, truth: NDArray[np.int64], inside: NDArray[np.int64],
    others: NDArray[np.int64],
) -> NDArray[np.int64]:  # fmt: skip
    place, first = {label_id: i for i, label_id in enumerate(starter.label_ids)}, len(starter.described)
    others = np.array([i for i in others if truth[i] in place], np.int64)  # a label may have been archived meanwhile
    targets = [place[label_id] for _, label_id in starter.described] + [place[int(each)] for each in truth[others]]
    learnt = np.concatenate([np.arange(first), first + others])
    examples = Fit(vectors[learnt], np.array(targets, np.int64), learnt >= first)
    head = fit(examples, len(starter.label_ids), vectors[first:]).head
    likeliest = head.logits(vectors[first + inside]).argmax(axis=1)
    found: NDArray[np.int64] = np.array(starter.label_ids, np.int64)[likeliest]
    return found


@contextmanager
def _few_threads() -> Iterator[None]:
    """A starter computes with one thread; what comes after it does not."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
