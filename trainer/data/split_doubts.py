"""Doubts about how imported documents were split, or would be, shown at the import with advice."""

from collections import Counter
from collections.abc import Mapping, Sequence

from classifier.shortcomings import Shortcoming
from db.queries.labelled import Labelled
from trainer.data.split import HELD_OUT, LEFT_OUT, Assignment, Groups, assign

_LARGE = 0.5  # of the new documents in one near-duplicate group
_FEW = 10  # fewer documents say nothing about how a file is split
_REPEATED = 4  # documents of a near-duplicate group, on average, from which on groups are why splits stay empty


def split_doubts(assigned: Sequence[Assignment], counts: Mapping[str, int]) -> list[Shortcoming]:
    """What is doubtful about new assignments, the most important first.

    Args:
        assigned: as `trainer.data.split.assign_new` gives them.
        counts: documents by split, the stored ones included (`db.queries.labelled.split_counts`).
    """
    return [*_one_group(assigned), *_left_out(assigned), *_empty_splits(assigned, counts)]


def foretold_doubts(texts: Sequence[str], hashes: Sequence[bytes], groups: Groups) -> list[Shortcoming]:
    """The same before anything is stored, as if the texts of a file were the only labelled documents.

    Args:
        hashes: content hash of each text, (n,).
        groups: near-duplicate group of each text, (n,).
    """
    documents = [
        Labelled(i, text, digest, label_id=0, label="", may_be_held_out=True, group_id=None, split=None)
        for i, (text, digest) in enumerate(zip(texts, hashes, strict=True), start=1)
    ]
    assigned = assign(documents, groups)
    return split_doubts(assigned, Counter(each.split for each in assigned))


def _one_group(assigned: Sequence[Assignment]) -> list[Shortcoming]:
    groups = Counter(each.group_id for each in assigned)
    group, size = max(groups.items(), key=lambda pair: pair[1], default=(0, 0))
    splits = Counter(each.split for each in assigned if each.group_id == group)
    if size < _FEW or size < _LARGE * len(assigned) or len(splits) > 1:
        return []
    split = next(iter(splits))
    share = f"All {size:,}" if size == len(assigned) else f"{size:,} of {len(assigned):,}"
    where = "left out of training and test" if split == LEFT_OUT else f"in one split, {split}"
    return [
        Shortcoming(
            "one group",
            f"{share} new documents nearly repeat one another, so all of them are {where}.",
            "If what they share is a footer, a header or a template, remove it from the texts. If they do say "
            "different things, import them with --keep-near-duplicates (each then gets a split by its own hash; train "
            "with it too), or choose the split with --split. A stored split stays: erase the documents first "
            "(sortline erase).",
        )
    ]


def _left_out(assigned: Sequence[Assignment]) -> list[Shortcoming]:
    count = sum(each.split == LEFT_OUT for each in assigned)
    if len(assigned) < _FEW or count < _LARGE * len(assigned):
        return []
    return [
        Shortcoming(
            "left out",
            f"{count:,} of {len(assigned):,} new documents are left out: they nearly repeat documents of other splits.",
            "That is right if they repeat what is stored. If they share only a footer or a template, remove it; "
            "--keep-near-duplicates keeps them, to compare with published figures.",
        )
    ]


def _empty_splits(assigned: Sequence[Assignment], counts: Mapping[str, int]) -> list[Shortcoming]:
    """Splits without any document; whoever chose the split knows."""
    if not assigned or any(each.forced for each in assigned):
        return []
    empty = [name for name in ("train", *HELD_OUT) if not counts.get(name)]
    if not empty:
        return []
    what = " or ".join("training" if name == "train" else name for name in empty)
    have = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in sorted(counts.items()) if count)
    return [
        Shortcoming(
            "empty splits",
            f"There are no documents for {what} (documents: {have}).",
            _what_follows(empty) + _groups(assigned),
        )
    ]


def _groups(assigned: Sequence[Assignment]) -> str:
    """Advice if there are only a few groups of near-duplicates; for a single one `_one_group` gives it."""
    groups = len({each.group_id for each in assigned})
    if groups == 1 or groups * _REPEATED > len(assigned):
        return ""
    return (
        f" The {len(assigned):,} new documents are {groups:,} groups of texts that nearly repeat each other, and a "
        "group stays in one split: if they do say different things, import them with --keep-near-duplicates (train "
        "with it too)."
    )


def _what_follows(empty: Sequence[str]) -> str:
    follows = []
    if "train" in empty:
        follows.append("No training can start.")
    if "test" in empty:
        follows.append("A model would suggest labels but accept nothing, because nothing would show how good it is.")
    return " ".join([*follows, "Import more labelled documents, or some with --split train, validation or test."])
