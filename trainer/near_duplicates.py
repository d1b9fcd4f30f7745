"""Near-duplicates: texts whose 4-character shingles overlap by 0.8 and more (Jaccard).

Candidates come from MinHash with locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3) and are verified exactly.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from classifier.shingles import NEAR, jaccard, shingles

# 16 bands of 4: a pair at 0.8 shares a band with probability 1 - (1 - 0.8^4)^16 = 99.98 %.
_BANDS, _ROWS = 16, 4


def near_duplicate_groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """Groups of texts that are tied by near-duplicates: the index of each one's first member, (n,).

    Two texts that are no near-duplicates share a group when a chain of them leads from one to the other.
    """
    unique: dict[frozenset[str], int] = {}  # equal texts are frequent, and need no comparing
    place = [unique.setdefault(shingles(text), len(unique)) for text in texts]
    sets = list(unique)
    tied = DisjointSet(range(len(sets)))
    for bucket in _buckets(sets):
        _tie(bucket, sets, tied)
    first: dict[int, int] = {}
    return np.array([first.setdefault(tied[p], i) for i, p in enumerate(place)], dtype=np.int64)


def _buckets(sets: Sequence[frozenset[str]]) -> Iterator[list[int]]:
    """Sets that agree in one band of their MinHash signatures."""
    if not sets:
        return
    encoded = ([shingle.encode("utf-8", "replace") for shingle in found] for found in sets)
    sketches = MinHash.generator(encoded, num_perm=_BANDS * _ROWS, seed=1)
    signatures = np.array([sketch.hashvalues for sketch in sketches], dtype=np.uint64)
    for band in np.split(signatures, _BANDS, axis=1):
        members: dict[bytes, list[int]] = {}
        for i, key in enumerate(band):
            members.setdefault(key.tobytes(), []).append(i)
        yield from (bucket for bucket in members.values() if len(bucket) > 1)


def _tie(bucket: Iterable[int], sets: Sequence[frozenset[str]], tied: "DisjointSet[int]") -> None:
    """Join what is near: each set is held against one member after the other of the groups it is not in."""
    seen: dict[int, list[int]] = {}
    for i in bucket:
        for root in list(seen):
            if tied[root] == tied[i]:
                continue
            if any(jaccard(sets[i], sets[j]) >= NEAR for j in seen[root]):
                tied.merge(root, i)
        seen.setdefault(tied[i], []).append(i)
