"""Group documents by likeness, and name each group by its telling words.

Copies of one text, if they are many, are a group of their own. The vectors of the others are shortened to their
principal components and divided by k-means, which leaves no document out (docs/decisions/0048-topics.md); or joined as
long as they are alike, which finds small groups too, and leaves out what is like nothing else
(docs/decisions/0051-new-labels.md).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from classifier.words import words

_COPIES = 20  # of one text, that are a topic of their own
_MOST_TOPICS = 150
_MOST_OF_COPIES = 50  # topics
_COMPONENTS = 50
_BATCH = 4096
_STARTS = 3
_TELLING = 5
_CHARS = 500  # of a text, for its words
_WORD_CHARS = 30
_COMMON = 0.5  # of the topics: a word in more of them tells little
_OF_ENOUGH = 10  # documents, from which on a telling word must be in two of them
_LEAST_LENGTH = 1e-9
_CENTRED = 0.9  # of the traffic's centre, that is taken from each vector
_ALIKE = 0.6  # cosine distance, up to which parts are joined
_NEAR = 0.65  # and up to which one that is left over joins a part
_PART = 5  # vectors of a part that others may join

_SAYS_NOTHING = re.compile(r"[a-z]|[!-/:-@\[-`{-~]+")

Matrix = NDArray[np.float32]
Vector = NDArray[np.float32]
Divide = Callable[[Matrix], list[list[int]]]


class Text(NamedTuple):
    """A document to group: the beginning of its text, and the hash that copies share."""

    id: int
    text: str
    content_hash: bytes


class Group(NamedTuple):
    """Documents that are alike, the most typical first, and the words that tell them from the others."""

    ids: list[int]
    words: list[str]
    copies: bool


def group(texts: Sequence[Text], vectors: Matrix, divide: Divide | None = None) -> list[Group]:
    """Documents in groups, the largest first.

    Args:
        vectors: (n, d), in the order of ``texts``.
        divide: gives places of vectors in parts, as `divided` does, which is taken by default.
    """
    if not texts:
        return []
    by_text: dict[bytes, list[int]] = {}
    for place, each in enumerate(texts):
        by_text.setdefault(each.content_hash, []).append(place)
    by_size = sorted(by_text.values(), key=len, reverse=True)
    of_copies = [places for places in by_size[:_MOST_OF_COPIES] if len(places) >= _COPIES]
    others = by_size[len(of_copies) :]
    first = np.array([places[0] for places in others], np.intp)
    alike = [[others[each] for each in part] for part in (divide or divided)(vectors[first])] if others else []
    members = [*of_copies, *([place for places in part for place in places] for part in alike)]
    told = telling([[texts[places[0]].text] for places in of_copies]
                   + [[texts[places[0]].text for places in part] for part in alike])  # fmt: skip
    groups = [
        Group([texts[place].id for place in places], named, n < len(of_copies) or _is_one_text(texts, places))
        for n, (places, named) in enumerate(zip(members, told, strict=True))
    ]
    return sorted(groups, key=lambda each: -len(each.ids))


def divided(vectors: Matrix, seed: int = 0) -> list[list[int]]:
    """Places of vectors (n, d) in parts, those nearest to the part's centre first.

    About sqrt(n) parts, at most 150: some more than there are subjects, so that most parts have one.
    """
    units = _units(vectors)
    count = min(_MOST_TOPICS, max(1, round(math.sqrt(len(units)))), len({row.tobytes() for row in units.round(4)}))
    shorter = min(_COMPONENTS, *units.shape)
    if count < 2:
        parts = np.zeros(len(units), np.intp)
    else:
        short = PCA(shorter, svd_solver="covariance_eigh", random_state=seed).fit_transform(units)
        found = MiniBatchKMeans(count, batch_size=_BATCH, n_init=_STARTS, random_state=seed)
        parts = found.fit_predict(short)
    return _typical_first(units, parts)


def alike(vectors: Matrix, centre: Vector) -> list[list[int]]:
    """Places of vectors (n, d) in parts that are alike, those nearest to the part's centre first.

    Compared are differences from the centre of the traffic (d,): all vectors of an encoder have much in common, those
    of a fine-tuned one more than others. Parts are joined as long as the mean cosine distance between their members is
    at most 0.6 (average linkage). Then those that are left over each join the nearest part, up to 0.65.
    Time and memory grow with n squared: 4,000 vectors take 130 MB.
    """
    # Not all of the centre, so that a vector which is the centre keeps a direction.
    units = _units(_units(vectors) - _CENTRED * centre)
    there = np.flatnonzero(np.any(vectors, axis=1) & units.any(axis=1))  # zeros have no direction: like nothing
    if len(there) < 2:
        return [[int(place)] for place in there]
    found = AgglomerativeClustering(None, metric="cosine", linkage="average", distance_threshold=_ALIKE)
    parts = _with_what_is_near(units[there], found.fit_predict(units[there]))
    return [[int(there[place]) for place in part] for part in _typical_first(units[there], parts)]


def _with_what_is_near(units: Matrix, parts: NDArray[np.intp]) -> NDArray[np.intp]:
    """The parts, of which those of five or more vectors have taken in what is near to them and in a smaller one."""
    sizes = np.bincount(parts)
    large = np.flatnonzero(sizes >= _PART)
    left = np.flatnonzero(sizes[parts] < _PART)
    if not len(large) or not len(left):
        return parts
    distances = 1 - units[left] @ np.stack([units[parts == each].mean(axis=0) for each in large]).T
    nearest = distances.argmin(axis=1)
    near = distances[np.arange(len(left)), nearest] <= _NEAR
    joined = parts.copy()
    joined[left[near]] = large[nearest[near]]
    return joined


def near(vectors: Matrix, parts: Sequence[Matrix], centre: Vector) -> list[list[int]]:
    """For each part, places of the vectors (n, d) that are alike its own, the nearest first.

    Each vector is in one part at most: the nearest, if the mean distance to its members is at most 0.6.

    Args:
        parts: the vectors (m, d) of each part's members.
        centre: of the traffic, as for `alike`.
    """
    if not len(vectors) or not parts:
        return [[] for _ in parts]
    means = np.stack([_units(_units(part) - _CENTRED * centre).mean(axis=0) for part in parts])
    distances = 1 - _units(_units(vectors) - _CENTRED * centre) @ means.T
    nearest = distances.argmin(axis=1)
    least = np.where(vectors.any(axis=1), distances.min(axis=1), np.inf)
    ordered = [int(place) for place in np.argsort(least, kind="stable") if least[place] <= _ALIKE]
    return [[place for place in ordered if nearest[place] == part] for part in range(len(parts))]


def centre_of(traffic: Matrix, labels: Sequence[int | None]) -> Vector:
    """The centre (d,) of traffic (n, d): the mean of its labels' means, so that no label counts more than another.

    Args:
        labels: what each document was predicted as.
    """
    units = _units(traffic)
    places: dict[int | None, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    if not places:
        return np.zeros(traffic.shape[1], np.float32)
    means = [units[each].mean(axis=0) for each in places.values()]
    return np.asarray(np.mean(means, axis=0), np.float32)


def _typical_first(units: Matrix, parts: NDArray[np.intp]) -> list[list[int]]:
    centres = np.zeros((parts.max() + 1, units.shape[1]), np.float32)
    np.add.at(centres, parts, units)
    typical = np.einsum("ij,ij->i", units, _units(centres)[parts])
    return [
        sorted(np.flatnonzero(parts == part).tolist(), key=lambda place: (-typical[place], place))
        for part in np.unique(parts)
    ]


def telling(groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """The words that tell each group of texts from the others, the most telling first.

    Class-based TF-IDF (Grootendorst, "BERTopic", 2022): how often a word is in a group's texts, times the logarithm of
    1 + the words of an average group over the word's frequency in all. English stop words are left out; words of most
    groups come after the others, and digits and other signs after all words.
    """
    counts = [Counter(each for text in texts for each in set(_words(text))) for texts in groups]
    total: Counter[str] = Counter()
    spread: Counter[str] = Counter()
    for count in counts:
        total.update(count)
        spread.update(count.keys())
    average = sum(total.values()) / max(1, len(groups))
    most = max(2.0, _COMMON * len(groups))
    found = []
    for texts, count in zip(groups, counts, strict=True):
        least = 2 if len(texts) >= _OF_ENOUGH else 1
        weights = {
            word: times * math.log(1 + average / total[word])
            for word, times in count.items() if times >= least
        }  # fmt: skip
        weights = weights or dict.fromkeys(count, 0.0)
        ranked = sorted(weights, key=lambda word: (not _has_letters(word), spread[word] > most, -weights[word], word))
        found.append([word[:_WORD_CHARS] for word in ranked[:_TELLING]])
    return found


def _words(text: str) -> list[str]:
    start = text[:_CHARS].casefold()
    found = [start[first:last] for first, last in words(start)]
    return [each for each in found if each not in ENGLISH_STOP_WORDS and not _SAYS_NOTHING.fullmatch(each)]


def _has_letters(word: str) -> bool:
    return any(map(str.isalpha, word))


def _is_one_text(texts: Sequence[Text], places: Sequence[int]) -> bool:
    return len(places) > 1 and len({texts[place].content_hash for place in places}) == 1


def _units(vectors: Matrix) -> Matrix:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _LEAST_LENGTH), np.float32)
