"""Near-duplicates: texts whose 4-character shingles overlap by 0.8 and more (Jaccard).

Candidates come from MinHash with locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3) and are verified exactly.
"""

from collections.abc import Sequence

import numpy as np
from datasketch import MinHashLSH
from datasketch.minhash import MinHash

THRESHOLD = 0.8
_SHINGLE = 4
_PERMUTATIONS = 64


def shingles(text: str) -> frozenset[str]:
    """The text's 4-character shingles, lower case and with single spaces."""
    plain = " ".join(text.lower().split())
    return frozenset(plain[i : i + _SHINGLE] for i in range(max(1, len(plain) - _SHINGLE + 1)))


def near_duplicate_pairs(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of texts at Jaccard 0.8 or above."""
    sets = [shingles(text) for text in texts]
    encoded = [[shingle.encode("utf-8", "replace") for shingle in found] for found in sets]
    index = MinHashLSH(params=(16, 4), num_perm=_PERMUTATIONS)  # finds a pair at 0.8 with 99.98 %
    pairs = []
    for i, sketch in enumerate(MinHash.bulk(encoded, num_perm=_PERMUTATIONS, seed=1)):
        for j in index.query(sketch):
            if _jaccard(sets[i], sets[j]) >= THRESHOLD:
                pairs.append((j, i))
        index.insert(i, sketch, check_duplication=False)
    return pairs


def groups(count: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Connected groups of ``count`` texts: the smallest index of each one's group, (count,) int64."""
    parent = np.arange(count)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for i, j in pairs:
        a, b = root(i), root(j)
        parent[max(a, b)] = min(a, b)
    return np.array([root(i) for i in range(count)], dtype=np.int64)


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    common = len(left & right)
    return common / (len(left) + len(right) - common)
