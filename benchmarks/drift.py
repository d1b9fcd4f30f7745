"""How often does the look for drift alarm on traffic that stays as it is, and how soon on traffic that does not?"""

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.drift_world import SETTINGS, SHARE, Indices, World, thirds, world
from benchmarks.stack import result, say
from benchmarks.texts import BANKING77
from db.queries.drift import CHARS, Answered
from monitoring import drift
from monitoring.drift import Figures
from monitoring.drift_process import EVERY_S, REFERENCE, figures, level_of_a_check

_DIVISIONS, _MONTHS, _SHIFTS = 6, 4, 16  # months of stable traffic and shifts: of each division
_LEVEL = level_of_a_check(SETTINGS.drift_false_alarms)
_LOOKS_A_DAY = round(24 * 3600 / EVERY_S)
_STEP = 25  # documents between two looks at shifted traffic
_MOST = 3000


def drift_line() -> None:
    """`drift`: looks as housekeeping takes them, on texts that no model saw; the classifier is a logistic regression.

    It is trained on embeddings of a third of the texts; the other thirds are its held-out documents and the pool
    that traffic is drawn from, anew with replacement for each look; all of it with six divisions into thirds.
    ``false_alarms_per_month``: alarms on that pool, each look of a month on 1,000 documents of their own, over 24
    months. ``documents_to_detection``: median number of documents, from the first one of a new topic at a tenth of
    the traffic (titles of AG News, which are as short as the others), until a look alarms, with a look each 25
    documents; ``_p90`` the same for nine of ten shifts. ``by_embeddings`` and ``without_embeddings``: the median by
    that stream alone, and without it.
    """
    began = time.monotonic()
    found = world()
    alarms = 0
    delays: list[tuple[int, int, int]] = []
    for number in range(_DIVISIONS):
        division = _divide(found, seed=number)
        alarms += _stable(division)
        delays += [_shifted(division) for _ in range(_SHIFTS)]
        seconds = time.monotonic() - began
        say(f"{alarms} alarms in {(number + 1) * _MONTHS} months, {len(delays)} shifts, after {seconds:.0f} s")
    every, alone, rest = (np.array([each[i] for each in delays]) for i in range(3))
    result(
        "drift",
        false_alarms_per_month=round(alarms / (_DIVISIONS * _MONTHS), 3),
        documents_to_detection=int(np.median(every)),
        documents_to_detection_p90=int(np.quantile(every, 0.9)),
        by_embeddings=int(np.median(alone)),
        without_embeddings=int(np.median(rest)),
        missed=int((every >= _MOST).sum()),
        months=_DIVISIONS * _MONTHS,
        looks_a_day=_LOOKS_A_DAY,
        shifts=len(delays),
        budget=SETTINGS.drift_false_alarms,
        margin=SETTINGS.drift_margin,
        new_topic="AG News titles" if (BANKING77 / "ag_news_test.csv").is_file() else "a third of the sample's labels",
        seconds=round(time.monotonic() - began, 1),
    )


@dataclass(frozen=True)
class _Division:
    """Figures of held-out documents, of the pool of stable traffic, and of the new topic."""

    held_out: Figures
    pool: Figures
    new: Figures
    label_ids: list[int]
    draw: np.random.Generator


def _divide(found: World, seed: int) -> _Division:
    from sklearn.linear_model import LogisticRegression

    training, held_out, pool = thirds(found, seed)
    model = LogisticRegression(C=10.0, max_iter=100, tol=1e-2)
    model.fit(found.embeddings[training], found.labels[training])
    anchors = found.embeddings[training[:REFERENCE]]
    words = drift.known_words(found.texts[i] for i in training[:5000])

    def of(chosen: Indices) -> Figures:
        probabilities = model.predict_proba(found.embeddings[chosen])
        best = model.classes_[probabilities.argmax(axis=1)]
        answered = [
            Answered(int(i), found.texts[i][:CHARS], len(found.texts[i]), int(label), float(confidence))
            for i, label, confidence in zip(chosen, best, probabilities.max(axis=1), strict=True)
        ]
        return figures(answered, words, found.embeddings[chosen], anchors)

    return _Division(
        of(held_out[:REFERENCE]),
        of(pool),
        of(np.flatnonzero(found.is_new)),
        model.classes_.tolist(),
        np.random.default_rng(seed),
    )


def _stable(division: _Division) -> int:
    """Alarms. Each look is independent of the others, which is more alarms at once than a month has."""
    count, alarms = len(division.pool.length), 0
    for _ in range(_MONTHS * 30 * _LOOKS_A_DAY):
        weeks = division.pool.picked(division.draw.integers(count, size=REFERENCE))
        traffic = division.pool.picked(division.draw.integers(count, size=drift.WINDOWS[-1]))
        alarms += bool(_look({"training": division.held_out, "weeks": weeks}, traffic, division.label_ids))
    return alarms


def _shifted(division: _Division) -> tuple[int, int, int]:
    """Documents from a shift to its alarm: by all streams, by embeddings alone, and without them; 3,000: none."""
    draw = division.draw
    old = division.pool.picked(draw.integers(len(division.pool.length), size=REFERENCE + _MOST + drift.WINDOWS[-1]))
    weeks = old.picked(np.arange(REFERENCE))
    line = old.picked(np.arange(REFERENCE, len(old.length)))  # the oldest document first
    is_new = (draw.random(len(line.length)) < SHARE) & (np.arange(len(line.length)) >= drift.WINDOWS[-1])
    new = division.new.picked(draw.integers(len(division.new.length), size=len(line.length)))
    line = Figures(*(np.where(is_new, theirs, ours) for ours, theirs in zip(line, new, strict=True)))
    first: dict[str, int] = {}
    for seen in range(_STEP, _MOST, _STEP):
        last = drift.WINDOWS[-1] + seen
        traffic = line.picked(np.arange(last - 1, last - 1 - drift.WINDOWS[-1], -1))
        for each in _look({"training": division.held_out, "weeks": weeks}, traffic, division.label_ids):
            first.setdefault("by" if each.stream == "embedding" else "without", seen)
        if len(first) == 2:
            break
    by, without = first.get("by", _MOST), first.get("without", _MOST)
    return min(by, without), by, without


def _look(references: dict[str, Figures], traffic: Figures, label_ids: list[int]) -> list[drift.Moved]:
    return drift.moved(references, traffic, label_ids, _LEVEL, SETTINGS.drift_margin)
