"""Has the traffic moved away from what a model was trained on? The test of one drift check, on arrays alone.

Each document is reduced to five figures: its confidence, its label, the length of its text, the share of its words
that the training texts don't have, and how far its embedding is from the nearest training text. For all of them but
the label, a reference sample gives the edges: values, each with the share of its documents above it. A stream has
moved when, at any edge (or label), the share in the traffic differs from that of the reference by more than a margin,
with statistical certainty: the exact bounds of Clopper and Pearson ("The Use of Confidence or Fiducial Limits",
Biometrika 26, 1934) of the two shares lie further apart than the margin. That is a test of "the Kolmogorov distance is
at most the margin", exact for any number of documents: a few can't raise an alarm by chance, and with a million a
trifle is still no alarm.

All tests of a month share one budget (Bonferroni), over checks, streams, references, windows, edges and directions.
The expected number of false alarms a month is at most that budget, however the checks overlap, because expectations
add up whether or not the tests depend on each other.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
Indices = NDArray[np.int64]

STREAMS = ("confidence", "labels", "length", "unknown_words", "embedding")
REFERENCES = ("training", "weeks")
WINDOWS = (500, 1000)  # of the newest documents: the shorter sees a sudden shift sooner, the longer a slight one
LEAST = 100  # documents; with fewer there is no check
# More confident answers and texts nearer to the training texts do no harm; held-out documents, the reference, have no
# near-duplicates among the training texts.
_ONE_WAY = {"confidence": "fallen", "unknown_words": "risen", "embedding": "risen"}
_EDGES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995)
_WORD = re.compile(r"\w+")


class Figures(NamedTuple):
    """The figures of n documents; ``label_ids`` and the others are (n,), newest documents first.

    ``confidence`` and ``unknown_words`` are from 0 to 1, ``length`` is in characters, ``embedding`` is 1 less the
    cosine to the nearest training text.
    """

    confidence: Floats
    label_ids: Indices
    length: Floats
    unknown_words: Floats
    embedding: Floats

    def newest(self, count: int) -> "Figures":
        """The figures of the newest ``count`` documents."""
        return self.picked(np.arange(min(count, len(self.length))))

    def picked(self, chosen: Indices) -> "Figures":
        """The figures of the documents at these positions."""
        return Figures(
            self.confidence[chosen], self.label_ids[chosen], self.length[chosen], self.unknown_words[chosen],
            self.embedding[chosen],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moved:
    """A stream whose share of documents over ``edge`` (or of a label) has changed.

    ``now`` and ``before`` are shares of ``documents`` and of ``reference_documents``; ``by`` is the difference
    that is certain. Either ``label_id`` or ``edge`` is given.
    """

    stream: str
    reference: str
    label_id: int | None
    edge: float | None
    now: float
    before: float
    documents: int
    reference_documents: int
    by: float

    def holds(self, figures: Figures) -> NDArray[np.bool_]:
        """Which documents (n,) are of the kind that has become more frequent."""
        risen = self.now > self.before
        if self.edge is None:
            return np.asarray(figures.label_ids == self.label_id) & risen
        above: NDArray[np.bool_] = np.equal(_values(figures, self.stream) > self.edge, risen)
        return above


def known_words(texts: Iterable[str]) -> frozenset[str]:
    """Words of texts, in lower case."""
    return frozenset(word for text in texts for word in _WORD.findall(text.lower()))


def unknown_share(text: str, known: frozenset[str]) -> float:
    """Share of a text's words that are not among the known ones; 0 for a text without words."""
    words = _WORD.findall(text.lower())
    return sum(word not in known for word in words) / len(words) if words else 0.0


def distance_to_nearest(embeddings: Matrix, anchors: Matrix) -> Floats:
    """1 less the greatest cosine of each unit vector (n, width) to any of ``anchors`` (m, width): (n,)."""
    return np.asarray(1 - (embeddings @ anchors.T).max(axis=1), np.float64)


def level(budget: float, checks: float) -> float:
    """Level of the test of one stream, against one reference, over one window.

    Args:
        budget: expected false alarms a month, at most.
        checks: checks a month.
    """
    return budget / (checks * len(STREAMS) * len(REFERENCES) * len(WINDOWS))


def moved(
    references: dict[str, Figures],
    traffic: Figures,
    label_ids: Sequence[int],
    alpha: float,
    margin: float,
    without: frozenset[tuple[str, str]] = frozenset(),
) -> list[Moved]:
    """The streams that have moved, each with the edge or label at which it moved most.

    Args:
        references: by name, one or two of `REFERENCES`.
        traffic: newest documents first.
        label_ids: all labels that the model knows.
        alpha: what `level` gives.
        margin: a difference of shares up to this is not drift.
        without: pairs (stream, reference) to leave out.
    """
    found: list[Moved] = []
    for reference, before in references.items():
        for stream in STREAMS:
            if (stream, reference) in without:
                continue
            tested = [
                _test(stream, reference, before, traffic.newest(window), label_ids, alpha, margin)
                for window in WINDOWS
                if len(traffic.length) >= window or window == WINDOWS[0]
            ]
            hits = [each for each in tested if each is not None]
            if hits:
                found.append(max(hits, key=lambda each: each.by))
    return found


def _test(
    stream: str, reference: str, before: Figures, now: Figures, label_ids: Sequence[int], alpha: float, margin: float
) -> Moved | None:
    edges: Floats
    if stream == "labels":
        edges = np.array(label_ids, np.float64)
        was, are = before.label_ids[:, None] == edges, now.label_ids[:, None] == edges
    else:
        old, new = _untied(_values(before, stream), 1), _untied(_values(now, stream), 2)
        edges = np.quantile(old, _EDGES, method="closest_observation")
        was, are = old[:, None] > edges, new[:, None] > edges
    ways = [_ONE_WAY[stream]] if stream in _ONE_WAY else ["risen", "fallen"]
    each_alpha = alpha / (2 * len(ways) * len(edges))  # two bounds a test
    least_was, most_was = _bounds(was, each_alpha)
    least_are, most_are = _bounds(are, each_alpha)
    apart = {"risen": least_are - most_was, "fallen": least_was - most_are}
    by = np.max([apart[way] for way in ways], axis=0)
    at = int(by.argmax())
    if by[at] <= margin:
        return None
    is_label = stream == "labels"
    return Moved(
        stream, reference, int(edges[at]) if is_label else None, None if is_label else float(edges[at]),
        float(are[:, at].mean()), float(was[:, at].mean()), len(are), len(was), float(by[at]),
    )  # fmt: skip


def _bounds(hits: NDArray[np.bool_], alpha: float) -> tuple[Floats, Floats]:
    """One-sided bounds, each at level ``alpha``, of the shares that documents (n, edges) are a sample of."""
    from scipy.special import betainccinv, betaincinv

    count, documents = hits.sum(axis=0), len(hits)
    least = betaincinv(np.maximum(count, 1), documents - count + 1, alpha)
    most = betainccinv(count + 1, np.maximum(documents - count, 1), alpha)
    return np.where(count == 0, 0.0, least), np.where(count == documents, 1.0, most)


def _untied(values: Floats, seed: int) -> Floats:
    """The values, with ties broken at random.

    Edges are values of the reference itself. The share of all documents above its k-th greatest value then follows
    exactly the beta distribution that gives its upper bound, but only if no two values are equal.
    """
    return values + np.random.default_rng(seed).random(len(values)) * 1e-7


def _values(figures: Figures, stream: str) -> Floats:
    values: Floats = getattr(figures, stream)
    return values


def in_words(found: Moved, labels: dict[int, str]) -> str:
    """The change as a sentence for people; ``labels``: names by id."""
    since = {"training": "in the training snapshot", "weeks": "in the weeks before"}[found.reference]
    now, before, edge = found.now, found.before, found.edge or 0.0
    if found.label_id is not None:
        what = f"get the label {labels.get(found.label_id, found.label_id)}"
    else:
        more = now > before
        now, before = (now, before) if more else (1 - now, 1 - before)
        side = "more than" if more else "at most"
        what = {
            "confidence": f"have a confidence of {side} {edge:.2f}",
            "length": f"have {side} {edge:,.0f} characters",
            "unknown_words": f"have {side} {100 * edge:.0f} % words that no training text has",
            "embedding": f"are {'further' if more else 'no further'} than {edge:.2f} from the nearest training text",
        }[found.stream]
    return f"{100 * now:.1f} % of {found.documents:,} new documents {what}; {100 * before:.1f} % {since}."


def evidence(found: Sequence[Moved], traffic: Figures, count: int) -> Indices:
    """Positions in the traffic of the documents that have become more frequent, at most ``count``, clearest first."""
    hits = np.sum([each.holds(traffic) for each in found], axis=0)
    order = np.lexsort((-traffic.embedding, -hits))
    return np.asarray([i for i in order if hits[i]][:count], np.int64)
