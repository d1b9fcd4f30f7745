"""What one training run trains on and is judged by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from db.queries.labelled import Labelled
from sortline.errors import TrainingError
from trainer.split import HELD_OUT, LEFT_OUT, Groups, groups_of, leaks, repeats_held_out, share

_BORROWED = 0.05
_LEAST_EXAMPLES = 2
_FEW_EXAMPLES = 8
_NAMED = 5


@dataclass(frozen=True)
class TrainingData:
    """Documents by their part in the run; ``labels`` are (id, name) by name; ``counts`` say how it came about."""

    train: list[Labelled]
    validation: list[Labelled]
    test: list[Labelled]
    left_out: list[Labelled]
    labels: list[tuple[int, str]]
    counts: dict[str, Any]


def select(
    documents: Sequence[Labelled], keep_near_duplicates: bool = False, drop_rare_labels: bool = False
) -> TrainingData:
    """Choose what trains, validates and tests.

    Training texts that nearly repeat held-out ones are left out, whichever came first. Where no document
    validates (all were imported with `--split train` or `test`), a twentieth of the training groups, drawn by
    hash, is taken from training for it: enough for a temperature, which is one number.

    Args:
        documents: all labelled documents; those without a split train.
        keep_near_duplicates: train on texts that repeat held-out ones, to compare with published figures.
        drop_rare_labels: go on without the labels that have one example only.

    Raises:
        TrainingError: there are no examples, they have one label only, or a label has one example only.
    """
    documents, dropped = _without_rare_labels(documents, drop_rare_labels)
    splits = {document.id: document.split or "train" for document in documents}
    used = [document for document in documents if splits[document.id] != LEFT_OUT]
    groups = groups_of(used)
    if not keep_near_duplicates:
        splits |= dict.fromkeys(repeats_held_out(used, groups, splits), LEFT_OUT)
    borrowed = _borrow_validation(used, groups, splits)
    if not keep_near_duplicates:  # decisions that may not be held out can repeat what was borrowed
        splits |= dict.fromkeys(repeats_held_out(used, groups, splits), LEFT_OUT)
    return _data(documents, splits, {"validation_borrowed": borrowed, "dropped_labels": dropped})


def _data(documents: Sequence[Labelled], splits: dict[int, str], counts: dict[str, Any]) -> TrainingData:
    parts: dict[str, list[Labelled]] = {name: [] for name in ("train", *HELD_OUT, LEFT_OUT)}
    for document in documents:
        parts[splits[document.id]].append(document)
    examples = Counter(document.label for document in parts["train"])
    if len(examples) < 2:
        raise TrainingError(
            f"only {len(examples)} label has documents to train on; two are the least that can be told apart"
        )
    untrained = {document.label for document in documents} - examples.keys()
    for name in HELD_OUT:
        parts[name] = [document for document in parts[name] if document.label in examples]
    counts |= {name: len(found) for name, found in parts.items()}
    counts["leaks"] = leaks(documents, splits)
    counts["few_examples"] = sorted(label for label, count in examples.items() if count < _FEW_EXAMPLES)
    counts["untrained_labels"] = sorted(untrained)
    labels = sorted({(d.label_id, d.label) for d in parts["train"]}, key=lambda pair: pair[1])
    return TrainingData(**parts, labels=labels, counts=counts)


def _borrow_validation(documents: Sequence[Labelled], groups: Groups, splits: dict[int, str]) -> bool:
    """Move training groups to validation where it is empty; says whether it was."""
    if "validation" in splits.values():
        return False
    for document, group in zip(documents, groups, strict=True):
        key = documents[int(group)].content_hash
        if (
            splits[document.id] == "train"
            and document.may_be_held_out
            and share(key, "borrowed validation") < _BORROWED
        ):
            splits[document.id] = "validation"
    return True


def _without_rare_labels(documents: Sequence[Labelled], drop: bool) -> tuple[list[Labelled], list[str]]:
    examples = Counter(document.label for document in documents)
    if not examples:
        raise TrainingError("there are no labelled documents to train on; `sortline import FILE` brings some")
    if len(examples) == 1:
        raise TrainingError(f"all labelled documents have the same label, {next(iter(examples))!r}")
    rare = sorted(label for label, count in examples.items() if count < _LEAST_EXAMPLES)
    if rare and not drop:
        named = ", ".join(map(repr, rare[:_NAMED])) + (f" and {len(rare) - _NAMED} more" if len(rare) > _NAMED else "")
        raise TrainingError(f"one example only has: {named}; import more of it, or train without (--drop-rare-labels)")
    return [document for document in documents if document.label not in rare], rare
