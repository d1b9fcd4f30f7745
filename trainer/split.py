"""Which labelled documents train, which validate, which test: assigned once, never recomputed."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from db.queries.labelled import Labelled
from trainer.near_duplicates import groups, near_duplicate_pairs

HELD_OUT = ("validation", "test")
_VALIDATION, _TEST = 0.1, 0.2  # of the groups: the first tenth validates, the second tests


@dataclass(frozen=True, slots=True)
class Assignment:
    """A document's near-duplicate group (id of a document) and split."""

    document_id: int
    group_id: int
    split: str
    forced: bool


def assign(
    documents: Sequence[Labelled], forced: str | None = None, keep_near_duplicates: bool = False
) -> list[Assignment]:
    """Split the documents that have no split yet; those that have one keep it.

    Args:
        documents: all labelled documents, the assigned ones included.
        forced: the split of all new ones (`import --split`), instead of the hash's choice.
        keep_near_duplicates: let training texts repeat held-out ones, to compare with published figures.

    Returns:
        The new assignments. Near-duplicates share a group and so a split; a training text that nearly repeats
        a held-out one, or that bridges the two, is `left_out`. Only imports and audits are ever held out.
    """
    pairs = near_duplicate_pairs([document.text for document in documents])
    members: dict[int, list[Labelled]] = {}
    for document, root in zip(documents, groups(len(documents), pairs), strict=True):
        members.setdefault(int(root), []).append(document)
    found: list[Assignment] = []
    for group in members.values():
        found += _assign_group(group, forced, keep_near_duplicates)
    return found


def by_hash(key: str) -> str:
    """The split that a group's key falls into: validation 10 %, test 10 %, train the rest."""
    place = int.from_bytes(sha256(key.encode()).digest()[:8]) / 2**64
    return "validation" if place < _VALIDATION else "test" if place < _TEST else "train"


def leaks(documents: Sequence[Labelled], splits: dict[int, str]) -> int:
    """How many near-duplicate pairs lie across train and held-out, or across the two held-out splits."""
    used = [document for document in documents if splits.get(document.id, "left_out") != "left_out"]
    pairs = near_duplicate_pairs([document.text for document in used])
    return sum(splits[used[i].id] != splits[used[j].id] for i, j in pairs)


def _assign_group(group: list[Labelled], forced: str | None, keep: bool) -> list[Assignment]:
    new = [document for document in group if document.split is None]
    if not new:
        return []
    known = {document.split for document in group if document.split not in (None, "left_out")}
    group_id = min((d.group_id for d in group if d.group_id is not None), default=min(d.id for d in group))
    held_out = [split for split in HELD_OUT if split in known]
    found = []
    for document in new:
        if forced is not None:
            split = forced
        elif known:
            split = held_out[0] if held_out else "train"
        else:
            split = by_hash(group[0].content_hash.hex())
        if not document.may_be_held_out and split in HELD_OUT:
            split = "train"
        if not keep and split == "train" and held_out:
            split = "left_out"
        found.append(Assignment(document.id, group_id, split, forced is not None))
    return found
