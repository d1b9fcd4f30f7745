"""Near-duplicates: texts whose 4-character shingles overlap by 0.8 and more (Jaccard).

Digits are all the same there: texts that differ in numbers alone are copies.

Candidates come from MinHash with locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3) and are verified exactly.

A long footer or template that many different texts share makes them alike. It is recognised if ten or more candidates
share long passages and most of them have something of their own (`trainer.data.passages`): then they are compared by
that alone (docs/decisions/0028-repeated-passages.md).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from classifier.shingles import NEAR, normal, shingles, tidy
from trainer.data.passages import Hashes, longest_passage, own_passages, shared_passages

Indices = NDArray[np.int64]
Set = NDArray[np.int64]  # of a text's shingles: their hashes, sorted

# 16 bands of 4: a pair at 0.8 shares a band with probability 1 - (1 - 0.8^4)^16 = 99.98 %.
_BANDS, _ROWS = 16, 4
_MANY = 10  # different texts that share a passage
_AT_ONCE = 10_000  # sets of which the shingles themselves are in memory
_ROUNDS = 5  # a footer within a footer: what is left is searched again
_SHOWN = 120  # characters of a passage
_LETTERS = 12  # of a text that says something beside its numbers
_DIGIT = re.compile(r"\d")


class Repeated(NamedTuple):
    """Passages that were left out of the comparison: of how many documents, and the longest one of the first."""

    documents: int
    passage: str

    def note(self, of: int) -> str:
        """The note for people; ``of``: number of all documents."""
        passage = f"{self.passage[:_SHOWN].rstrip()}…" if len(self.passage) > _SHOWN else self.passage
        contain = "contains" if self.documents == 1 else "contain"
        return (
            f"{self.documents:,} of {of:,} documents {contain} passages that many documents repeat (a footer, a header "
            f"or a template), for example “{passage}”. Such passages are ignored in the search for near-duplicates; "
            "the stored texts keep them."
        )


def near_duplicate_groups(texts: Sequence[str]) -> Indices:
    """Groups of texts that are tied by near-duplicates: the index of each one's first member, (n,).

    Two texts that are not near-duplicates share a group if a chain of near-duplicates connects them.
    """
    return NearDuplicates(texts).groups()


class NearDuplicates:
    """Texts prepared for comparison; passages that many share are searched for among all of them.

    Shingles are kept as hashes of 8 bytes: as strings they would take four times the memory of all of this.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._place_of: dict[bytes, int] = {}  # by digest: equal texts are frequent and need no comparison
        self._sets: list[Set] = []
        self._signatures = np.empty((0, _BANDS * _ROWS), np.uint64)
        forms = [_form(text) for text in texts]
        self._places = self._add(forms)
        self._texts = texts
        self._repeated, self._shortened = np.empty(0, np.uint64), set[int]()
        for _ in range(_ROUNDS):
            shared = self._shared(forms)
            if not len(shared):
                break
            own = [own_passages(form, shared) or form for form in forms]
            changed = [i for i, form in enumerate(own) if form != forms[i]]
            self._places[changed] = self._add([own[i] for i in changed])
            self._repeated = np.union1d(self._repeated, shared)
            self._shortened.update(changed)
            forms = own

    def groups(self, chosen: Sequence[int] | None = None) -> Indices:
        """Groups as `near_duplicate_groups` gives them, of all texts or of those at the chosen places alone.

        Texts that are not chosen connect nothing, but count among those that share passages.
        """
        places = self._places if chosen is None else self._places[np.array(chosen, np.int64)]
        tied = DisjointSet(np.unique(places).tolist())
        for bucket in self._buckets(places):
            _tie(bucket, self._sets, tied)
        first: dict[int, int] = {}
        return np.array([first.setdefault(tied[each], i) for i, each in enumerate(places.tolist())], dtype=np.int64)

    def repeated(self, chosen: Iterable[int] | None = None) -> Repeated | None:
        """What was left out because many texts share it, of all texts or the chosen ones; None: nothing was."""
        places = sorted(self._shortened if chosen is None else self._shortened.intersection(chosen))
        if not places:
            return None
        text = self._texts[places[0]]
        form, written = _form(text), tidy(text)
        start, end = longest_passage(form, self._repeated)
        # Lower case rarely changes the length.
        return Repeated(len(places), (written if len(written) == len(form) else form)[start:end].strip())

    def _shared(self, forms: Sequence[str]) -> Hashes:
        """Hashes of the passages that ten and more candidates share, if that explains why they are alike."""
        form_at = dict(zip(self._places.tolist(), forms, strict=True))
        found, explained = [np.empty(0, np.uint64)], set[int]()
        large = [bucket for bucket in self._buckets(self._places) if len(bucket) >= _MANY]
        # The largest first: a passage that fewer texts share may be what they are about.
        for bucket in sorted(large, key=len, reverse=True):
            if len(bucket) - len(explained.intersection(bucket)) < _MANY:
                continue
            shared = shared_passages([form_at[each] for each in bucket])
            if len(shared):
                found.append(shared)
                explained.update(bucket)
        return np.unique(np.concatenate(found))

    def _add(self, forms: Sequence[str]) -> Indices:
        """Where the shingles of each form stand among the different sets, (n,); new ones are added."""
        places, signatures, new = [], [self._signatures], list[frozenset[str]]()
        for each in map(shingles, forms):
            hashed = np.sort(np.fromiter(map(hash, each), np.int64, len(each)))
            place = self._place_of.setdefault(blake2b(hashed.tobytes(), digest_size=16).digest(), len(self._sets))
            if place == len(self._sets):
                self._sets.append(hashed)
                new.append(each)
            if len(new) == _AT_ONCE:
                signatures.append(_signatures(new))
                new = []
            places.append(place)
        self._signatures = np.concatenate([*signatures, _signatures(new)])
        return np.array(places, dtype=np.int64)

    def _buckets(self, places: Indices) -> Iterator[list[int]]:
        """Different sets that agree in one band of their signatures."""
        used = np.unique(places)
        for band in np.split(self._signatures[used], _BANDS, axis=1):
            members: dict[bytes, list[int]] = {}
            for place, key in zip(used.tolist(), band, strict=True):
                members.setdefault(key.tobytes(), []).append(place)
            yield from (bucket for bucket in members.values() if len(bucket) > 1)


def _form(text: str) -> str:
    """The form in which texts are compared: digits are all the same, unless they are what a text says.

    Texts that differ in numbers alone would else be far enough apart to be compared in pairs: a flood of 10,000 took
    more than ten minutes, and 100,000 a hundred times that.
    """
    form = normal(text)
    folded = _DIGIT.sub("0", form)
    return folded if sum(map(str.isalpha, folded)) >= _LETTERS else form


def _signatures(sets: Sequence[frozenset[str]]) -> NDArray[np.uint64]:
    """MinHash signatures, (n, 64)."""
    if not sets:
        return np.empty((0, _BANDS * _ROWS), np.uint64)
    encoded = ([shingle.encode("utf-8", "replace") for shingle in found] for found in sets)
    sketches = MinHash.generator(encoded, num_perm=_BANDS * _ROWS, seed=1)
    return np.array([sketch.hashvalues for sketch in sketches], dtype=np.uint64)


def _is_near(left: Set, right: Set) -> bool:
    """Whether the Jaccard similarity of two sets is at least NEAR; neither may be empty."""
    if min(len(left), len(right)) < NEAR * max(len(left), len(right)):
        return False  # even if one has all that the other has
    common = len(np.intersect1d(left, right, assume_unique=True))
    return common / (len(left) + len(right) - common) >= NEAR


def _tie(bucket: Iterable[int], sets: Sequence[Set], tied: "DisjointSet[int]") -> None:
    """Join what is near: each set is compared with the members of the groups that it is not in."""
    seen: dict[int, list[int]] = {}
    for i in bucket:
        for root in list(seen):
            if tied[root] == tied[i]:
                continue
            if any(_is_near(sets[i], sets[j]) for j in seen[root]):
                tied.merge(root, i)
        seen.setdefault(tied[i], []).append(i)
