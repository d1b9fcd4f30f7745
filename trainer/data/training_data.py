"""What a training run learns from and is judged by.

A document is foreign to a model if people decided that no label fits it, or decided a label that the model lacks. It
trains nothing. Held out, it is judged like any other: whoever accepts it errs (docs/decisions/0046-none-fits.md).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from classifier.decision import FOREIGN
from classifier.figures import SnapshotCounts
from db.queries.labelled import Labelled
from sortline.errors import TrainingError
from trainer.data import bounds
from trainer.data.near_duplicates import NearDuplicates, OnProgress
from trainer.data.split import HELD_OUT, LEFT_OUT, Groups, leaks, repeats_held_out, share

FOREIGN_PART = "foreign"
PARTS = ("train", *HELD_OUT, LEFT_OUT, FOREIGN_PART)
MOST_LABELS = 2_000  # a prediction stores each one's probability
_BORROWED = 0.05
_LEAST_CALIBRATION = 300  # with fewer, no threshold can be proved to err on at most 1 %
_LEAST_EXAMPLES = 2
_FEW_EXAMPLES = 8
_MOST_COPIES, _SHARE_OF_COPIES = 20, 0.05  # near-duplicates of one text in a part: so many, or of the others so much
_NAMED = 5


@dataclass(frozen=True)
class TrainingData:
    """Documents by their part in the run; ``labels`` are (id, name) by name; ``counts`` say how it came about.

    The held-out parts hold foreign documents too; ``foreign`` are those that were not held out, and train nothing.
    """

    train: list[Labelled]
    validation: list[Labelled]
    calibration: list[Labelled]
    test: list[Labelled]
    left_out: list[Labelled]
    labels: list[tuple[int, str]]
    counts: SnapshotCounts
    foreign: list[Labelled] = field(default_factory=list)

    @property
    def held_out(self) -> list[Labelled]:
        """Validation, calibration and test, in this order."""
        return [*self.validation, *self.calibration, *self.test]

    def known(self, documents: Iterable[Labelled]) -> list[Labelled]:
        """Those of some documents whose answer is one of the labels."""
        ids = {label_id for label_id, _ in self.labels}
        return [document for document in documents if document.label_id in ids]


def select(
    documents: Sequence[Labelled],
    keep_near_duplicates: bool = False,
    drop_rare_labels: bool = False,
    known_labels: Collection[int] | None = None,
    min_examples: int = _FEW_EXAMPLES,
    on_progress: OnProgress = lambda _done, _of: None,
) -> TrainingData:
    """Choose what trains, validates, calibrates and tests.

    Training texts that nearly repeat held-out ones are left out, whichever came first. Of exact duplicates one stays,
    with the majority's label, or the latest in a tie. If a twentieth of the training groups, drawn by hash, holds
    more documents than validation has (after imports with `--split train` or `test`), that twentieth validates too;
    another calibrates if that makes enough to prove a threshold. Of many texts that nearly repeat each other in one
    part, some stay (`_leave_out_floods`). Of more than 20,000 documents in a held-out part a sample counts, drawn by
    hash, so always the same one; the others are left out.

    Args:
        documents: all labelled documents; those without a split train.
        keep_near_duplicates: train on texts that repeat held-out ones, to compare with published figures.
        drop_rare_labels: go on without the labels that have one example only.
        known_labels: ids of the active version's labels; other labels wait for ``min_examples``. None: a first
            training, which takes every label.
        on_progress: as for `NearDuplicates`.

    Raises:
        TrainingError: there are no examples, they have one label only or more than 2,000, or a label of a first
            training has one example only.
    """
    dropped = _rare_labels(documents, drop_rare_labels, known_labels, min_examples)
    splits = {document.id: document.split or "train" for document in documents}
    alike = NearDuplicates([document.text for document in documents], on_progress)
    places = [i for i, document in enumerate(documents) if splits[document.id] != LEFT_OUT]
    used, groups = [documents[i] for i in places], alike.groups(places)
    flood: set[int] = set()
    if not keep_near_duplicates:
        splits |= dict.fromkeys(repeats_held_out(used, groups, splits), LEFT_OUT)
        flood |= _leave_out_floods(used, groups, splits, dropped)
    borrowed = [name for name in ("validation", "calibration") if _borrow(name, used, groups, splits, dropped)]
    if not keep_near_duplicates:  # decisions that may not be held out can repeat what was borrowed
        splits |= dict.fromkeys(repeats_held_out(used, groups, splits), LEFT_OUT)
        flood |= _leave_out_floods(used, groups, splits, dropped)  # what was borrowed is a smaller part
    counts = SnapshotCounts(
        borrowed=borrowed,
        dropped_labels=sorted(dropped),
        min_examples=min_examples,
        conflicts=sum(document.conflict for document in documents),
        copies=len({document.content_hash for document in documents if document.id in flood}),
        leaks=leaks(documents, splits, alike),
    )
    return _data(documents, splits, counts, min_examples, dropped)


def with_labels(parts: dict[str, list[Labelled]], counts: SnapshotCounts) -> TrainingData:
    """Training data of documents by part, with the labels that train.

    Raises:
        TrainingError: fewer than two labels train.
    """
    labels = sorted({(d.label_id, d.label) for d in parts["train"] if d.label_id is not None}, key=itemgetter(1))
    if len(labels) < 2:
        raise TrainingError(_too_few_labels(parts, [name for _, name in labels]))
    return TrainingData(**parts, labels=labels, counts=counts)


def _too_few_labels(parts: dict[str, list[Labelled]], labels: Sequence[str]) -> str:
    """Why a training needs more labels, with the documents of each split and what to do."""
    where = ", ".join(f"{name.replace('_', ' ')} {len(found):,}" for name, found in parts.items() if found)
    have = f"only the label {labels[0]!r} has" if labels else "no label has"
    return (
        f"{have} documents to train on, and a training needs two labels "
        f"(documents: {where or 'none'}); import more with `sortline import FILE --split train`. Texts that nearly "
        "repeat each other share a split: if what they share is a footer or a template, remove it, or import and train "
        "with --keep-near-duplicates"
    )


def _data(
    documents: Sequence[Labelled], splits: dict[int, str], counts: SnapshotCounts, min_examples: int,
    dropped: Collection[str],
) -> TrainingData:  # fmt: skip
    parts: dict[str, list[Labelled]] = {}
    duplicates = 0
    for name in ("train", *HELD_OUT, LEFT_OUT):
        parts[name], merged = _merged([document for document in documents if splits[document.id] == name])
        duplicates += merged if name != LEFT_OUT else 0
    not_needed = {name: _sample(parts, name) for name in HELD_OUT}
    undivided = parts["train"]
    parts["train"] = [document for document in undivided if _may_train(document, dropped)]
    parts[FOREIGN_PART] = [document for document in undivided if not _may_train(document, dropped)]
    examples = Counter(document.label for document in parts["train"])
    counted = (*HELD_OUT, FOREIGN_PART)
    if len(examples) < 2:
        raise TrainingError(_too_few_labels(parts, list(examples)))
    missing = {name: sorted(examples.keys() - {each.label for each in parts[name]}) for name in HELD_OUT}
    more = {
        "duplicates": duplicates,
        **{name: len(parts[name]) for name in ("train", *HELD_OUT, LEFT_OUT)},
        "origins": {name: dict(Counter(document.origin for document in parts[name])) for name in PARTS},
        "few_examples": sorted(label for label, count in examples.items() if count < min_examples),
        "untrained_labels": sorted({each.label for each in documents if each.label} - {*examples, *dropped}),
        "foreign": {name: sum(each.label not in examples for each in parts[name]) for name in counted},
        "none_fits": {name: sum(each.label_id is None for each in parts[name]) for name in counted},
        "not_needed": {name: count for name, count in not_needed.items() if count},
        "labels": len(examples),
        "missing_labels": missing,
    }
    return with_labels(parts, counts.model_copy(update=more))


def _sample(parts: dict[str, list[Labelled]], name: str) -> int:
    """Leave out what a part has beyond 20,000 documents; returns how many."""
    documents = parts[name]
    if len(documents) <= bounds.HELD_OUT:
        return 0
    places = [share(document.content_hash, "held out") for document in documents]
    most = sorted(places)[bounds.HELD_OUT]
    parts[name] = [document for document, place in zip(documents, places, strict=True) if place < most]
    parts[LEFT_OUT] += [document for document, place in zip(documents, places, strict=True) if place >= most]
    return len(documents) - len(parts[name])


def _merged(documents: Iterable[Labelled]) -> tuple[list[Labelled], int]:
    """One document of each text, and how many were merged into others."""
    copies: dict[bytes, list[Labelled]] = {}
    for document in documents:
        copies.setdefault(document.content_hash, []).append(document)
    kept = [found[0] if len(found) == 1 else _majority(found) for found in copies.values()]
    return kept, sum(map(len, copies.values())) - len(kept)


def _majority(copies: Sequence[Labelled]) -> Labelled:
    votes = Counter(document.label_id for document in copies)
    label_id = max(votes, key=lambda each: (votes[each], max(_newest(d) for d in copies if d.label_id == each)))
    return next(document for document in copies if document.label_id == label_id)


def _newest(document: Labelled) -> int:
    return max(document.review_ids, default=document.id)


def _may_train(document: Labelled, dropped: Collection[str]) -> bool:
    return document.label_id is not None and document.label not in dropped


def _borrow(
    name: str, documents: Sequence[Labelled], groups: Groups, splits: dict[int, str], dropped: Collection[str]
) -> bool:
    """Move training groups to a part that has fewer documents than they have; returns whether any were moved.

    Foreign documents move with the others, but only the others count: few known ones fit no temperature.
    """
    own = sum(splits[document.id] == name and _may_train(document, dropped) for document in documents)
    taken = [
        document
        for document, group in zip(documents, groups, strict=True)
        if splits[document.id] == "train"
        and document.may_be_held_out
        and share(documents[int(group)].content_hash, f"borrowed {name}") < _BORROWED
    ]
    known = sum(_may_train(document, dropped) for document in taken)
    if own >= known or (name == "calibration" and own + known < _LEAST_CALIBRATION):
        return False
    splits |= dict.fromkeys((document.id for document in taken), name)
    return True


def _leave_out_floods(
    documents: Sequence[Labelled], groups: Groups, splits: dict[int, str], dropped: Collection[str]
) -> set[int]:
    """Leave out what one text's near-duplicates are too many of in a part; returns the ids.

    Of a group stay 20 different texts, drawn by hash, or as many as a twentieth of the part's other documents. More of
    them say nothing new: they would be most of what a training learns, of what a temperature is fitted to, and of what
    proves a threshold, where a hundred copies that are right are no more evidence than one.
    """
    parts: dict[tuple[str, bool], dict[int, list[Labelled]]] = {}
    for document, group in zip(documents, groups, strict=True):
        split = splits[document.id]
        if split != LEFT_OUT:
            part = parts.setdefault((split, split != "train" or _may_train(document, dropped)), {})
            part.setdefault(int(group), []).append(document)
    left: set[int] = set()
    for found in parts.values():
        count = sum(map(len, found.values()))
        for members in found.values():
            most = max(_MOST_COPIES, int(_SHARE_OF_COPIES * (count - len(members))))
            hashes = {each.content_hash for each in members} if len(members) > most else set()
            beyond = set(sorted(hashes, key=lambda each: share(each, "copies"))[most:])
            left |= {each.id for each in members if each.content_hash in beyond}
    splits |= dict.fromkeys(left, LEFT_OUT)
    return left


def _rare_labels(
    documents: Sequence[Labelled], drop: bool, known: Collection[int] | None, min_examples: int
) -> set[str]:
    """The names of the labels with too few examples."""
    examples = Counter((each.label_id, each.label) for each in documents if each.label_id is not None)
    if not examples and documents:
        raise TrainingError(
            f"no label fits any of the {len(documents):,} decided documents, so there is nothing to train on; import "
            "labelled documents with `sortline import FILE`, or add the labels that are missing"
        )
    if not examples:
        raise TrainingError("there are no labelled documents to train on; import some with `sortline import FILE`")
    if len(examples) == 1:
        raise TrainingError(f"all labelled documents have the same label, {next(iter(examples))[1]!r}")
    if len(examples) > MOST_LABELS:
        raise TrainingError(
            f"there are {len(examples):,} labels, and the limit is {MOST_LABELS:,}: merge or archive some"
        )
    if known is None:
        rare = {name for (_, name), count in examples.items() if count < _LEAST_EXAMPLES}
        _refuse_rare(sorted(rare), drop)
        return rare
    return {name for (id_, name), count in examples.items() if count < min_examples and id_ not in known}


def _refuse_rare(names: Sequence[str], drop: bool) -> None:
    if names and not drop:
        named = ", ".join(map(repr, names[:_NAMED]))
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise TrainingError(
            f"labels with only one example: {named}{more}; import more examples, or leave them out (--drop-rare-labels)"
        )


def label_indices(documents: Sequence[Labelled], labels: Sequence[tuple[int, str]]) -> NDArray[np.int64]:
    """Index of each document's label among ``labels``, (id, name) each, or FOREIGN; (n,)."""
    index: dict[int | None, int] = {label_id: i for i, (label_id, _) in enumerate(labels)}
    return np.array([index.get(document.label_id, FOREIGN) for document in documents], np.int64)


def true_label_ids(documents: Sequence[Labelled]) -> NDArray[np.int64]:
    """Id of each document's label, or FOREIGN if none fits; (n,)."""
    return np.array([FOREIGN if each.label_id is None else each.label_id for each in documents], np.int64)
