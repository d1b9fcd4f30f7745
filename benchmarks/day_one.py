"""How good the suggestions of a first day are: texts without labels, names of labels, and a reviewer at the desk."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.first_suggestion import first_suggestion
from benchmarks.kept import end
from benchmarks.reviewer import decide
from benchmarks.stack import Stack, processor, result, say, stack
from benchmarks.texts import ag_news, banking77
from classifier.classifier import load_classifier
from db.models import Document, User
from db.queries import labels, model_versions, rescore, starters, upstream_decisions, waiting_counts
from db.queries.upstream_decisions import Upstream
from db.session import session
from sortline.queue import Document as Sent
from trainer.revised import with_newest_head

_STEPS = (0, 77, 154, 385, 770)
_AG_NEWS_STEPS = (0, 40, 160)
_AG_NEWS = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
_UNDECIDED = text("""
SELECT id, text FROM documents WHERE NOT EXISTS (SELECT FROM reviews WHERE document_id = documents.id)
ORDER BY hashint8extended(id, 1) LIMIT :count
""")
_WAITING = 1_000  # documents at the time when labels are named
_PATIENCE_S = 900.0

_Rows = Sequence[tuple[str, str]]


def day_one(count: int = 4_000) -> None:
    """`day_one`: accuracy on banking77's test texts after so many decisions, by the starter that is active then.

    Training texts (``count`` of them, at random) arrive without labels through the queue; the 77 labels are named; a
    simulated reviewer decides what the desk gives. Worker, housekeeping and beat run as they do for users: housekeeping
    makes the starters, and the worker scores what waits again. ``random``: the same with documents decided at random.
    ``ag_news``: the same in the desk's order with AG News' four labels. ``first_suggestion_s``: from `sortline up`, in
    a stopped installation with 1,000 documents on the queue and named labels, to the first suggestion;
    ``all_suggested_s``: to the last. ``after_naming``: the same from the naming of the labels, while all runs and 1,000
    documents are stored.
    """
    pool, test = banking77()
    random.Random(1).shuffle(pool)
    from_up = first_suggestion([each for each, _ in pool[:_WAITING]], sorted({label for _, label in pool}))
    with _line("day_one", pool[:count]) as made:
        waits = _name_labels(made, sorted({label for _, label in pool}))
        _send(made, pool[_WAITING:count])
        desk = list(_steps(made, _STEPS, dict(pool[:count]), test, at_random=False))
    with _line("day_one", pool[:count]) as made:
        _name_labels(made, sorted({label for _, label in pool}))
        _send(made, pool[_WAITING:count])
        by_chance = list(_steps(made, _STEPS, dict(pool[:count]), test, at_random=True))
    news, news_test = ([(each, _AG_NEWS[label]) for each, label in rows] for rows in ag_news())
    with _line("day_one", news[:count]) as made:
        _name_labels(made, sorted(_AG_NEWS.values()))
        _send(made, news[_WAITING:count])
        four = list(_steps(made, _AG_NEWS_STEPS, dict(news[:count]), news_test, at_random=False))
    result(
        "day_one",
        documents=count,
        decisions=list(_STEPS),
        accuracy=desk,
        random=by_chance,
        ag_news={"decisions": list(_AG_NEWS_STEPS), "accuracy": four},
        first_suggestion_s=from_up.first,
        all_suggested_s=from_up.all,
        after_naming={"first_suggestion_s": waits[0], "all_suggested_s": waits[1]},
        cpu=processor(),
    )


@contextmanager
def _line(name: str, rows: _Rows) -> Iterator[Stack]:
    """A line without a model, on which 1,000 documents wait."""
    with stack(name, retrain_after=0) as made, ExitStack() as running:
        for process in (made.start_worker(), made.start_housekeeping(), made.start_beat()):
            running.callback(end, process)
        with session(made.settings.postgres_url) as opened:
            opened.add(User(name="simulated", role="reviewer"))
            opened.commit()
        made.wait_ready(has_model=False)
        _send(made, rows[:_WAITING])
        yield made


def _send(made: Stack, rows: _Rows) -> None:
    made.queue.append([Sent(f"{each[:60]}-{i}", each, "bench") for i, (each, _) in enumerate(rows)], "bulk")
    made.wait_drained()


def _name_labels(made: Stack, names: Sequence[str]) -> tuple[float, float]:
    """Name the labels; returns the seconds until the first document has a suggestion, and until all have one."""
    began, first = time.monotonic(), None
    with session(made.settings.postgres_url) as opened:
        for name in names:
            labels.add(opened, name, "benchmark")
        opened.commit()
    while True:
        with session(made.settings.postgres_url) as opened:
            left = waiting_counts.unpredicted(opened).rows
        first = first or (time.monotonic() - began if left < _WAITING else None)
        if first and not left:
            return round(first, 1), round(time.monotonic() - began, 1)
        if time.monotonic() - began > _PATIENCE_S:
            raise SystemExit("no starter suggested anything in time; see housekeeping's log in the stack's folder")
        time.sleep(0.2)


def _steps(
    made: Stack, steps: Sequence[int], truth: Mapping[str, str], test: _Rows, *, at_random: bool
) -> Iterator[float]:
    done = 0
    for wanted in steps:
        # The next starter is due after ten decisions or a tenth more: what a reviewer decides until it serves.
        while done < wanted:
            more = min(wanted - done, max(10, done // 10))
            with session(made.settings.postgres_url) as opened:
                ids = {label.name: label.id for label in labels.listing(opened)}
                known = {each: ids[label] for each, label in truth.items()}
                done += _by_chance(opened, truth, more) if at_random else _at_the_desk(opened, known, more)
            if not at_random or done >= wanted:
                _settle(made)
        yield _accuracy(made, test)


def _at_the_desk(opened: Session, known: Mapping[str, int], count: int) -> int:
    reviewer = opened.query(User).filter_by(name="simulated").one().id
    return len(decide(opened, reviewer, known, count)[0])


def _by_chance(opened: Session, truth: Mapping[str, str], count: int) -> int:
    """Decide documents in an order of chance, as another system's people would."""
    rows = opened.execute(_UNDECIDED, {"count": count}).all()
    upstream_decisions.add(opened, [Upstream(row.id, "chance", truth[row.text], None) for row in rows])
    opened.commit()
    return len(rows)


def _settle(made: Stack) -> None:
    """Wait until the starter has learnt what it is to learn now, and what waits is scored by it."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with session(made.settings.postgres_url) as opened:
            if not starters.due(opened) and rescore.stale(opened) is None:
                return
        time.sleep(0.5)
    raise SystemExit("no newer starter was made in time")


def _accuracy(made: Stack, test: _Rows) -> float:
    with session(made.settings.postgres_url) as opened:
        version = model_versions.active(opened)
        assert version is not None
        loaded = load_classifier(version.checkpoint_uri, version.sha256, made.settings)
        classifier = with_newest_head(opened, version.id, loaded)
        decided = opened.query(Document).count() - waiting_counts.unpredicted(opened).rows
    found = classifier.logits([each for each, _ in test]).argmax(axis=1)
    names = np.array(classifier.checkpoint.labels)
    right = float(np.mean(names[found] == np.array([label for _, label in test])))
    say(f"{right:.2%} right, {decided:,} documents suggested so far")
    return round(right, 4)
