"""Which order of first decisions teaches fastest: simulated with a starter's vectors and logistic regression."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.stack import processor, result, say
from benchmarks.texts import ag_news, banking77
from benchmarks.vectors import frozen_vectors
from classifier.calibration import softmax
from classifier.head import Head
from db.queries.starters import Described
from db.vector_array import Matrix
from housekeeping.groups import divided
from trainer.fine_tuning.linear_head import fit_head
from trainer.starter import described_by

_STEPS = (20, 77, 154, 385, 770)
_SEEDS = (0, 1, 2)
_AG_NEWS = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
_LABELS_AT_ONCE = 2  # as the desk draws
_INVERSE_PENALTY = 2.0  # a starter's

Indices = NDArray[np.int64]


class Data(NamedTuple):
    """Vectors and labels (as places) of what waits and of what is tested, and the vectors of the labels' names."""

    waiting: Matrix
    labels: Indices
    test: Matrix
    test_labels: Indices
    names: Matrix


class Desk:
    """What waits, what is decided, and what the present head says; an order takes the next document from it."""

    def __init__(self, data: Data, seed: int) -> None:
        self.data = data
        self.draw = np.random.default_rng(seed)
        self.free = np.ones(len(data.waiting), np.bool_)
        self.decided: list[int] = []
        self.topic, self.typical = _topics(data.waiting, seed)
        self.size = np.bincount(self.topic)
        self.of_topic = np.zeros(len(self.size), np.int64)
        self.predicted = np.zeros(len(data.waiting), np.int64)
        self.margin = np.zeros(len(data.waiting), np.float32)

    def take(self, place: int) -> None:
        """Decide a document."""
        self.free[place] = False
        self.of_topic[self.topic[place]] += 1
        self.decided.append(place)

    def learn(self) -> Head:
        """Fit a head on names and decisions, and let it predict what waits."""
        data, names = self.data, len(self.data.names)
        vectors = np.concatenate([data.names, data.waiting[self.decided]])
        targets = np.concatenate([np.arange(names), data.labels[self.decided]]).astype(np.int64)
        # A name weighs as much as a decision.
        head = fit_head(vectors, targets, np.ones(len(targets), np.float32), names, _INVERSE_PENALTY)
        found = softmax(head.logits(data.waiting), 1.0)
        self.predicted = found.argmax(axis=1)
        part = np.sort(found, axis=1)
        self.margin = part[:, -1] - part[:, -2]
        return head


def start_order() -> None:
    """`start_order`: share of test texts answered right after so many decisions, for four orders of the desk.

    ``desk``: today's, the smallest margin among the documents of two predicted labels. ``topics``: the topic with the
    fewest decisions relative to its size; its most typical document first, then its smallest margins. ``topics_once``:
    the most typical document of each topic, then today's order. ``chance``: at random. Means of three seeds;
    ``labels``: how many labels the decisions have by then.
    """
    for name, data in (("banking77", _banking77()), ("ag_news", _ag_news())):
        steps = [each for each in _STEPS if each < len(data.waiting)]
        for order, chosen in _ORDERS.items():
            runs = [_run(Desk(data, seed), chosen, steps) for seed in _SEEDS]
            right, labels = np.mean(runs, axis=0).T
            say(f"{name} {order}: {right.round(4).tolist()}")
            result(
                "start_order", data=name, order=order, decisions=steps, accuracy=right.round(4).tolist(),
                labels=labels.round(1).tolist(), cpu=processor(),
            )  # fmt: skip


def _run(desk: Desk, chosen: Callable[[Desk], int], steps: Sequence[int]) -> list[tuple[float, int]]:
    found, learnt = [], 0
    desk.learn()
    for wanted in steps:
        while len(desk.decided) < wanted:
            if len(desk.decided) >= learnt + max(10, learnt // 10):
                learnt = len(desk.decided)
                desk.learn()
            desk.take(chosen(desk))
        right = desk.learn().logits(desk.data.test).argmax(axis=1) == desk.data.test_labels
        found.append((float(right.mean()), len(np.unique(desk.data.labels[desk.decided]))))
    return found


def _by_chance(desk: Desk) -> int:
    return int(desk.draw.choice(np.flatnonzero(desk.free)))


def _as_today(desk: Desk) -> int:
    there = np.unique(desk.predicted[desk.free])
    start = int(np.searchsorted(there, desk.draw.integers(0, len(desk.data.names))))
    drawn = [there[(start + more) % len(there)] for more in range(_LABELS_AT_ONCE)]
    inside = np.flatnonzero(desk.free & np.isin(desk.predicted, drawn))
    return int(inside[desk.margin[inside].argmin()])


def _by_topics(desk: Desk) -> int:
    left = np.bincount(desk.topic[desk.free], minlength=len(desk.size)) > 0
    share = np.where(left, desk.of_topic / desk.size, np.inf)
    fewest = np.flatnonzero(share == share.min())
    topic = fewest[desk.size[fewest].argmax()]
    inside = np.flatnonzero(desk.free & (desk.topic == topic))
    first = desk.of_topic[topic] == 0
    return int(inside[desk.typical[inside].argmax() if first else desk.margin[inside].argmin()])


def _topics_once(desk: Desk) -> int:
    return _as_today(desk) if desk.of_topic.all() else _by_topics(desk)


_ORDERS: Mapping[str, Callable[[Desk], int]] = {
    "desk": _as_today, "topics": _by_topics, "topics_once": _topics_once, "chance": _by_chance,
}  # fmt: skip


def _topics(vectors: Matrix, seed: int) -> tuple[Indices, NDArray[np.float64]]:
    """The topic of each document, and how typical it is: the greater, the more."""
    topic, typical = np.zeros(len(vectors), np.int64), np.zeros(len(vectors))
    for number, places in enumerate(divided(vectors, seed)):
        topic[places], typical[places] = number, -np.arange(len(places))
    return topic, typical


def _banking77() -> Data:
    return _data(*banking77())


def _ag_news() -> Data:
    rows = ([(text, _AG_NEWS[label]) for text, label in part] for part in ag_news())
    return _data(*rows)


def _data(rows: Sequence[tuple[str, str]], test: Sequence[tuple[str, str]]) -> Data:
    names = sorted({label for _, label in rows})
    place = {name: number for number, name in enumerate(names)}
    described = [described_by(Described(0, name, "", []))[0] for name in names]
    labels, test_labels = (np.array([place[label] for _, label in some], np.int64) for some in (rows, test))
    waiting, tested = (frozen_vectors([text for text, _ in some]) for some in (rows, test))
    return Data(waiting, labels, tested, test_labels, frozen_vectors(described))
