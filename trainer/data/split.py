"""Which labelled documents train, which validate, which test: assigned once, never recomputed."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db.queries.labelled import Labelled, labelled_documents, lock_splits, store_splits
from trainer.data.near_duplicates import NearDuplicates, OnProgress, Repeated

HELD_OUT = ("validation", "calibration", "test")
LEFT_OUT = "left_out"
_TENTHS = ("validation", "test", "calibration")  # a tenth of the groups each, in this order; the rest trains
_OF_AUDITS = (*_TENTHS, "test", "calibration")  # the same where nothing was imported: half of the audits are held out
_STORED_AT_ONCE = 10_000

Groups = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Assignment:
    """A document's near-duplicate group (id of a document) and split."""

    document_id: int
    group_id: int
    split: str
    forced: bool


class Assigned(NamedTuple):
    """New assignments, and which passages of their documents were left out to find near-duplicates (None: none)."""

    assignments: list[Assignment]
    repeated: Repeated | None


def assign_new(
    session: Session, forced: str | None = None, keep_near_duplicates: bool = False,
    on_progress: OnProgress = lambda _done, _of: None,
) -> Assigned:  # fmt: skip
    """Assign and store the splits of labelled documents that have none; the caller commits.

    Only one transaction does so at a time: two that don't see each other's documents could separate near-duplicates.
    Arguments are those of `assign` and `NearDuplicates`.
    """
    lock_splits(session)
    documents = labelled_documents(session)
    new = [i for i, document in enumerate(documents) if not document.split]
    if not new:
        return Assigned([], None)
    alike = NearDuplicates([document.text for document in documents], on_progress)
    found = assign(documents, alike.groups(), forced, keep_near_duplicates)
    for start in range(0, len(found), _STORED_AT_ONCE):
        store_splits(session, orjson.dumps(found[start : start + _STORED_AT_ONCE]).decode())
    return Assigned(found, None if keep_near_duplicates else alike.repeated(new))


def assign(
    documents: Sequence[Labelled], groups: Groups, forced: str | None = None, keep_near_duplicates: bool = False
) -> list[Assignment]:
    """Split the documents that have no split yet; those that have one keep it.

    Near-duplicates share a group and so a split. A training text that nearly repeats a held-out one is left out,
    and so is a text that connects groups of different splits. Only imports and audits are ever held out: documents
    that people were shown because the model doubted them are not a fair sample.

    With imports 30 % are held out. Without any, audits alone can show how good a model is, and half of them are.

    Args:
        documents: all labelled documents, the assigned ones included.
        groups: of the documents, (n,), as `NearDuplicates.groups` gives them.
        forced: the split of all new ones (`import --split`), instead of the hash's choice.
        keep_near_duplicates: split each text by its own hash, and let training texts repeat held-out ones: to compare
            with published figures, or if texts are alike for another reason than that they say the same.

    Returns:
        The new assignments.
    """
    tenths = _TENTHS if any(document.origin == "import" for document in documents) else _OF_AUDITS
    members: dict[int, list[Labelled]] = {}
    for document, group in zip(documents, groups, strict=True):
        members.setdefault(int(group), []).append(document)
    found: list[Assignment] = []
    for group_members in members.values():
        found += _assign_group(group_members, tenths, forced, keep_near_duplicates)
    return found


def by_hash(key: bytes, tenths: Sequence[str] = _TENTHS) -> str:
    """The split that a group's key falls into: 10 % for each name of ``tenths``, train the rest."""
    tenth = int(share(key, "split") * 10)
    return tenths[tenth] if tenth < len(tenths) else "train"


def share(key: bytes, purpose: str) -> float:
    """A number from 0 to 1 that depends on the key alone, another one for each purpose."""
    return int.from_bytes(sha256(purpose.encode() + key).digest()[:8]) / 2**64


def repeats_held_out(documents: Sequence[Labelled], groups: Groups, splits: dict[int, str]) -> set[int]:
    """Ids of the training documents that share a group with held-out ones."""
    held = {int(g) for d, g in zip(documents, groups, strict=True) if splits[d.id] in HELD_OUT}
    return {d.id for d, g in zip(documents, groups, strict=True) if splits[d.id] == "train" and int(g) in held}


def leaks(documents: Sequence[Labelled], splits: dict[int, str], alike: NearDuplicates | None = None) -> int:
    """Number of near-duplicate groups that span more than one split (left-out texts not counted).

    Args:
        alike: the documents' texts, if they have been compared already.
    """
    alike = alike or NearDuplicates([document.text for document in documents])
    used = [i for i, document in enumerate(documents) if splits[document.id] != LEFT_OUT]
    reach: dict[int, set[str]] = {}
    for i, group in zip(used, alike.groups(used), strict=True):
        reach.setdefault(int(group), set()).add(splits[documents[i].id])
    return sum(len(found) > 1 for found in reach.values())


def _assign_group(group: Sequence[Labelled], tenths: Sequence[str], forced: str | None, keep: bool) -> list[Assignment]:
    new = [document for document in group if document.split is None]
    if not new:
        return []
    group_id = min((d.group_id for d in group if d.group_id is not None), default=min(d.id for d in group))
    if keep:
        splits = [_own_split(document, forced or by_hash(document.content_hash, tenths)) for document in new]
    else:
        splits = _shared_splits(group, new, tenths, forced)
    return [
        Assignment(document.id, group_id, split, forced is not None)
        for document, split in zip(new, splits, strict=True)
    ]


def _own_split(document: Labelled, chosen: str) -> str:
    return chosen if chosen not in HELD_OUT or document.may_be_held_out else "train"


def _shared_splits(
    group: Sequence[Labelled], new: Sequence[Labelled], tenths: Sequence[str], forced: str | None
) -> list[str]:
    """Splits of a group's new documents: one for all, except for those that may not be held out or would leak."""
    known = {document.split for document in group if document.split and document.split != LEFT_OUT}
    chosen = forced or _follow(known) or by_hash(group[0].content_hash, tenths)
    splits = [_own_split(document, chosen) for document in new]
    if any(split in HELD_OUT for split in (*known, *splits)):
        return [LEFT_OUT if split == "train" else split for split in splits]
    return splits


def _follow(known: set[str]) -> str | None:
    """The split that a new text takes over from its near-duplicates; left out when they differ."""
    if len(known) > 1:
        return LEFT_OUT
    return next(iter(known), None)
