"""Near-duplicates: texts whose 4-character shingles overlap by 0.8 and more (Jaccard).

Digits are all the same there: texts that differ in numbers alone are copies.

Candidates come from MinHash with locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3) and are verified exactly.

A long footer or template that many different texts share makes them alike. It is recognised if ten or more candidates
share long passages and most of them have something of their own (`trainer.data.passages`): then they are compared by
that alone (docs/decisions/0028-repeated-passages.md).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.shingles import NEAR, SHINGLE, normal, tidy
from trainer.data.passages import Hashes, longest_passage, own_passages, shared_passages, windows

Indices = NDArray[np.int64]
Set = NDArray[np.uint32]  # hashes of shingles, in order
OnProgress = Callable[[int, int], None]

# 16 bands of 4: a pair at 0.8 shares a band with probability 1 - (1 - 0.8^4)^16 = 99.98 %.
_BANDS, _ROWS = 16, 4
_LEAST_ALIKE = 35  # numbers of two signatures that are equal: at 0.8 it is fewer once in a million pairs
_MANY = 10  # different texts that share a passage
_AT_ONCE = 1_000  # texts between two reports
_MOST_BUCKETS = 5_000  # that are looked at in a round: about ten seconds
_ROUNDS = 5  # a footer within a footer: what is left is searched again
_SHOWN = 120  # characters of a passage
_LETTERS = 12  # of a text that says something beside its numbers
_DIGIT = re.compile(r"\d")
_DRAW = np.random.default_rng(1)
# Multiply-shift hashing (Dietzfelbinger and others, "A reliable randomized algorithm for the closest-pair problem",
# 1997), one function for each number of a signature.
_FACTORS = _DRAW.integers(0, 2**63, _BANDS * _ROWS, np.uint64) * 2 + 1
_SHIFTS = _DRAW.integers(0, 2**63, _BANDS * _ROWS, np.uint64)


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


class NearDuplicates:
    """Texts prepared for comparison; passages that many share are searched for among all of them.

    It keeps about 1 kB for a text of 110 characters: hashes of shingles of 4 bytes, and a signature of 256.

    Args:
        on_progress: called with how many texts are looked at, and of how many, in each of several passes.
    """

    def __init__(self, texts: Sequence[str], on_progress: OnProgress = lambda _done, _of: None) -> None:
        self._on_progress = on_progress
        self._place_of: dict[bytes, int] = {}  # by digest: equal texts are frequent and need no comparison
        self._sets: list[Set] = []
        self._signatures = np.empty((0, _BANDS * _ROWS), np.uint32)
        forms = [_form(text) for text in texts]
        self._places = self._add(forms)
        self._texts = texts
        self._repeated, self._shortened = np.empty(0, np.uint64), set[int]()
        for _ in range(_ROUNDS):
            shared = self._shared(forms)
            if not len(shared):
                break
            own = list[str]()
            for start in range(0, len(forms), _AT_ONCE):
                own += [own_passages(form, shared) or form for form in forms[start : start + _AT_ONCE]]
                on_progress(len(own), len(forms))
            changed = [i for i, form in enumerate(own) if form != forms[i]]
            self._places[changed] = self._add([own[i] for i in changed])
            self._repeated = np.union1d(self._repeated, shared)
            self._shortened.update(changed)
            forms = own

    def groups(self, chosen: Sequence[int] | None = None) -> Indices:
        """Groups of texts that are tied by near-duplicates: the index of each one's first member, (n,).

        Two texts that are not near-duplicates share a group if a chain of near-duplicates connects them.

        Args:
            chosen: places of texts, where not all are meant. The others connect nothing, but count among those that
                share passages.
        """
        places = self._places if chosen is None else self._places[np.array(chosen, np.int64)]
        tied = _Ties(len(self._sets))
        for bucket in self._buckets(places):
            _tie(bucket, self._sets, self._signatures, tied)
        if not len(places):
            return places
        _, first, group = np.unique(tied.roots()[places], return_index=True, return_inverse=True)
        return np.asarray(first[group], np.int64)

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
        form_at = np.empty(len(self._sets), np.int64)
        form_at[self._places] = np.arange(len(forms))
        found, explained = [np.empty(0, np.uint64)], set[int]()
        large = [bucket.tolist() for bucket in self._buckets(self._places) if len(bucket) >= _MANY]
        # The largest first: a passage that fewer texts share may be what they are about.
        for bucket in sorted(large, key=len, reverse=True)[:_MOST_BUCKETS]:
            if len(bucket) - len(explained.intersection(bucket)) < _MANY:
                continue
            shared = shared_passages([forms[form_at[each]] for each in bucket])
            if len(shared):
                found.append(shared)
                explained.update(bucket)
        return np.unique(np.concatenate(found))

    def _add(self, forms: Sequence[str]) -> Indices:
        """Where the shingles of each form stand among the different sets, (n,); new ones are added."""
        places, signatures, done = list[int](), [self._signatures], 0
        for start in range(0, len(forms), _AT_ONCE):
            some, new = forms[start : start + _AT_ONCE], []
            for each in map(_hashed, some):
                place = self._place_of.setdefault(blake2b(each.tobytes(), digest_size=16).digest(), len(self._sets))
                if place == len(self._sets):
                    self._sets.append(each)
                    new.append(_signature(each))
                places.append(place)
            signatures += [np.stack(new)] if new else []
            done += len(some)
            self._on_progress(done, len(forms))
        self._signatures = np.concatenate(signatures)
        return np.array(places, dtype=np.int64)

    def _buckets(self, places: Indices) -> Iterator[Indices]:
        """Different sets that agree in one band of their signatures, or, once in many millions, have the same hash."""
        used = np.unique(places)
        for number, band in enumerate(np.split(self._signatures, _BANDS, axis=1), start=1):
            low, high = np.ascontiguousarray(band[used]).view(np.uint64).T
            keys = low * np.uint64(0x9E3779B97F4A7C15) + high
            order = np.argsort(keys, kind="stable")
            bounds = np.flatnonzero(np.diff(keys[order])) + 1
            starts, ends = np.append(0, bounds), np.append(bounds, len(order))
            several = np.flatnonzero(ends - starts > 1)
            for each in several[np.argsort(order[starts[several]])].tolist():
                yield used[order[starts[each] : ends[each]]]
            self._on_progress(len(places) * number // _BANDS, len(places))


def _form(text: str) -> str:
    """The form in which texts are compared: digits are all the same, unless they are what a text says.

    Texts that differ in numbers alone would else be far enough apart to be compared in pairs: a flood of 10,000 took
    more than ten minutes, and 100,000 a hundred times that.
    """
    form = normal(text)
    folded = _DIGIT.sub("0", form)
    return folded if sum(map(str.isalpha, folded)) >= _LETTERS else form


def _hashed(form: str) -> Set:
    """The shingles of a text in the form that is compared; a shorter text is one shingle."""
    return np.unique(windows(form.ljust(SHINGLE, "\0"), SHINGLE).astype(np.uint32))


def _signature(shingles: Set) -> NDArray[np.uint32]:
    """The MinHash signature, (64,)."""
    found: NDArray[np.uint32] = (
        ((shingles.astype(np.uint64)[:, None] * _FACTORS + _SHIFTS) >> np.uint64(32)).min(axis=0).astype(np.uint32)
    )
    return found


def _is_near(left: Set, right: Set) -> bool:
    """Whether the Jaccard similarity of two sets is at least NEAR; neither may be empty."""
    if min(len(left), len(right)) < NEAR * max(len(left), len(right)):
        return False  # even if one has all that the other has
    common = len(np.intersect1d(left, right, assume_unique=True))
    return common / (len(left) + len(right) - common) >= NEAR


class _Ties:
    """Groups of sets; one that is tied to no other takes no memory."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._above: dict[int, int] = {}

    def root(self, each: int) -> int:
        """The set that stands for the group of this one."""
        above = self._above
        while each in above:
            parent = above[each]
            above[each] = above.get(parent, parent)  # halves the path
            each = parent
        return each

    def tie(self, one: int, other: int) -> None:
        """Make one group of two; ``one`` and ``other`` are their roots."""
        self._above[other] = one

    def roots(self) -> Indices:
        """The root of each set, (n,)."""
        found = np.arange(self._count)
        for each in list(self._above):
            found[each] = self.root(each)
        return found


def _tie(bucket: Indices, sets: Sequence[Set], signatures: NDArray[np.uint32], tied: _Ties) -> None:
    """Join what is near: each set is compared with those before it in other groups whose signatures are alike."""
    ids = bucket.tolist()
    roots = np.array([tied.root(each) for each in ids])
    for i in range(1, len(ids)):
        if roots[i - 1] != roots[i]:  # the one before first: copies with small changes come in floods
            _join_if_near(i - 1, i, ids, roots, sets, tied)
        others = np.flatnonzero(roots[:i] != roots[i])
        if not len(others):
            continue
        alike = (signatures[bucket[others]] == signatures[bucket[i]]).sum(axis=1) >= _LEAST_ALIKE
        for j in others[alike].tolist():
            if roots[j] != roots[i]:
                _join_if_near(j, i, ids, roots, sets, tied)


def _join_if_near(j: int, i: int, ids: Sequence[int], roots: Indices, sets: Sequence[Set], tied: _Ties) -> None:
    if _is_near(sets[ids[i]], sets[ids[j]]):
        one, other = int(roots[j]), int(roots[i])
        tied.tie(one, other)
        roots[roots == other] = one
