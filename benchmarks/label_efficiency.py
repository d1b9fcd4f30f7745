"""How many labels it takes to be good enough: in the desk's order, and in random order."""

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from benchmarks.fine_tuning import in_float32
from benchmarks.reviewer import decide
from benchmarks.stack import result, say, stack
from benchmarks.texts import ag_news, banking77
from classifier.base_models import base_model_folder
from classifier.checkpoint import SnapshotReference
from classifier.engines.choose import cores
from classifier.figures import SnapshotCounts
from db.models import Document, Label, User
from db.queries import queue_items
from db.queries.labelled import Labelled
from db.session import session
from sortline.settings import Settings
from trainer.data.training_data import with_labels
from trainer.fine_tuning.fine_tune import Machine, fine_tune
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.prepare import Base, prepare_job
from trainer.fine_tuning.sentence_embeddings import sentence_embeddings
from worker.commit import margin

_SEEDS = 5
_ROUND = 100
_GOALS = {"banking77": 0.9, "ag_news": 0.88}
_INVERSE_PENALTY = {"banking77": 10.0, "ag_news": 1.0}  # scikit-learn's C, by cross-validation on the whole pool

_Rows = list[tuple[str, str]]
Order = Callable[[LogisticRegression, list[int]], list[int]]

# A version's new margins and labels; how often a document was put off stays with it.
_SCORED = text("""
UPDATE queue_items SET score = row.score, label_id = row.label_id
FROM json_to_recordset(CAST(:rows AS json)) AS row (document_id bigint, score real, label_id integer)
WHERE queue_items.document_id = row.document_id
""")


@dataclass(frozen=True)
class _Corpus:
    """Texts with their labels, 0 to k - 1, the first ``pool`` to learn from and the others to test on."""

    name: str
    texts: list[str]
    labels: NDArray[np.int64]
    pool: int
    embeddings: NDArray[np.float32]

    def head(self, chosen: Sequence[int]) -> LogisticRegression:
        """A head on the frozen encoder, fitted on some of the pool."""
        model = LogisticRegression(C=_INVERSE_PENALTY[self.name], max_iter=300)
        return model.fit(self.embeddings[chosen], self.labels[chosen])

    def accuracy(self, head: LogisticRegression) -> float:
        """On the test texts."""
        return round(float((head.predict(self.embeddings[self.pool :]) == self.labels[self.pool :]).mean()), 4)


def label_efficiency() -> None:
    """`label_efficiency`: labels until 90 % of banking77's test texts are answered right, and 88 % of AG News'.

    Both orders begin with the same 100 documents, drawn at random, and go on in rounds of 100 until the goal is
    reached, five times with other draws. Each round a head is fitted on all labels so far: multinomial logistic
    regression on the mean-pooled output of the frozen encoder (the default base model). A simulated reviewer decides
    what the desk leases them: the real queue in Postgres, the real policy (web/desk/queue_policy.py), with the head's
    margins as the scores. All documents wait as doubtful ones; audits, flags and second opinions are left out.

    ``labels``: how many each draw took, the whole pool where the goal was not reached. ``ratio``: the desk's sum of
    these divided by the random order's; ``interval``: 95 %, percentiles over all draws of five of the five with
    replacement. ``curves``: test accuracy after each round, one list a draw. ``fine_tuned``: labels and accuracy of
    one full fine-tuning by the trainer's defaults on what each order had chosen in the first draw when its head
    reached the goal. It checks that the labels serve the model that will go live, not only the head that chose them.
    """
    figures: dict[str, object] = {}
    for name, read in (("banking77", banking77), ("ag_news", ag_news)):
        with stack("label_efficiency") as made:
            corpus = _corpus(name, read, made.settings)
            with session(made.settings.postgres_url) as opened:
                _store(opened, corpus)
                figures |= _compared(opened, made.settings, corpus)
    result("label_efficiency", seeds=_SEEDS, round=_ROUND, **figures)


def _corpus(name: str, read: Callable[[], tuple[_Rows, _Rows]], settings: Settings) -> _Corpus:
    try:
        pool, test = read()
    except OSError as error:
        sys.exit(f"{name} isn't here: {error}")
    texts, given = zip(*pool, *test, strict=True)
    names, labels = np.unique(given, return_inverse=True)
    say(f"{name}: {len(texts):,} texts of {len(names)} labels go through the frozen encoder")
    embeddings = sentence_embeddings(
        texts, base_model_folder(settings.base_model), settings.device, cores(settings.threads)
    )
    return _Corpus(name, list(texts), labels.astype(np.int64), len(pool), embeddings)


def _store(opened: Session, corpus: _Corpus) -> None:
    """Documents and labels of the pool; their ids are their places, counted from 1."""
    opened.add_all([Label(name=str(label)) for label in range(corpus.labels.max() + 1)])
    opened.flush()
    opened.add_all(
        Document(source="bench", external_id=str(i), content_hash=_hash(each), text=each, lane="bulk")
        for i, each in enumerate(corpus.texts[: corpus.pool])
    )
    opened.commit()


def _hash(of: str) -> bytes:
    return hashlib.sha256(of.encode()).digest()


def _compared(opened: Session, settings: Settings, corpus: _Corpus) -> dict[str, object]:
    curves: dict[str, list[list[float]]] = {"desk": [], "random": []}
    first: dict[str, list[int]] = {}
    for seed in range(_SEEDS):
        shuffled = np.random.default_rng(seed).permutation(corpus.pool).tolist()
        orders = {"desk": _desk_order(opened, corpus, seed), "random": _in_turn(shuffled)}
        for name, order in orders.items():
            chosen, curve = _learn(corpus, shuffled[:_ROUND], order)
            first.setdefault(name, chosen)
            curves[name].append(curve)
            say(f"{corpus.name}, draw {seed + 1}, {name} order: {len(chosen):,} labels, {curve[-1]:.2%}")
    labels = {name: [min(_ROUND * len(curve), corpus.pool) for curve in of_order] for name, of_order in curves.items()}
    ratio, interval = _ratio(np.array(labels["desk"]), np.array(labels["random"]))
    return {
        f"{corpus.name}_ratio": ratio,
        f"{corpus.name}_interval": interval,
        f"{corpus.name}_labels": labels,
        f"{corpus.name}_fine_tuned": {
            name: [len(chosen), _fine_tuned(corpus, chosen, settings)] for name, chosen in first.items()
        },
        f"{corpus.name}_curves": curves,
    }


def _learn(corpus: _Corpus, first: list[int], order: Order) -> tuple[list[int], list[float]]:
    """Places of what was labelled when the goal was reached, or the pool was empty, and the accuracies on the way."""
    chosen = list(first)
    head = corpus.head(chosen)
    curve = [corpus.accuracy(head)]
    while curve[-1] < _GOALS[corpus.name] and len(chosen) < corpus.pool:
        chosen += order(head, chosen)
        head = corpus.head(chosen)
        curve.append(corpus.accuracy(head))
    return chosen, curve


def _in_turn(shuffled: list[int]) -> Order:
    return lambda _, chosen: shuffled[len(chosen) : len(chosen) + _ROUND]


def _desk_order(opened: Session, corpus: _Corpus, seed: int) -> Order:
    """The order in which the desk gives what waits to one reviewer, who is new and knows the true labels."""
    ids = dict(opened.execute(select(Document.external_id, Document.id)).tuples().all())
    label_ids = list(opened.scalars(select(Label.id).order_by(Label.id)))
    truth = {corpus.texts[i]: label_ids[corpus.labels[i]] for i in range(corpus.pool)}
    reviewer = User(name=f"simulated {seed}", role="reviewer")
    opened.add(reviewer)
    opened.execute(text("DELETE FROM queue_items"))
    opened.commit()

    def order(head: LogisticRegression, chosen: list[int]) -> list[int]:
        waiting = np.setdiff1d(np.arange(corpus.pool), chosen)
        probabilities = head.predict_proba(corpus.embeddings[waiting])
        predicted = head.classes_[probabilities.argmax(axis=1)]
        items = [
            {"document_id": ids[str(i)], "score": float(score), "label_id": label_ids[label]}
            for i, score, label in zip(waiting, margin(probabilities), predicted, strict=True)
        ]
        queue_items.add(opened, items, "doubtful")
        opened.execute(_SCORED, {"rows": orjson.dumps(items).decode()})
        opened.commit()
        return [int(name) for name in decide(opened, reviewer.id, truth, _ROUND)[0]]

    return order


def _ratio(desk: NDArray[np.int64], random: NDArray[np.int64]) -> tuple[float, list[float]]:
    drawn = np.array(list(_all_draws(len(desk))))
    interval = np.quantile(desk[drawn].sum(axis=1) / random[drawn].sum(axis=1), (0.025, 0.975))
    return round(float(desk.sum() / random.sum()), 3), [round(float(each), 3) for each in interval]


def _all_draws(count: int) -> Iterator[tuple[int, ...]]:
    """All draws of so many with replacement: few enough to go through instead of drawing them."""
    yield from np.ndindex(*[count] * count)


def _fine_tuned(corpus: _Corpus, chosen: Sequence[int], settings: Settings) -> float:
    """Test accuracy of a full fine-tuning on what was chosen."""
    say(f"{corpus.name}: a full fine-tuning on {len(chosen):,} labels")
    train = [
        Labelled(i, corpus.texts[i], _hash(corpus.texts[i]), label, f"{label:02}", True, None, None)
        for i, label in zip(chosen, corpus.labels[chosen].tolist(), strict=True)
    ]
    data = with_labels(
        {"train": train, "validation": [], "calibration": [], "test": [], "left_out": []}, SnapshotCounts()
    )
    base = Base(settings.base_model, base_model_folder(settings.base_model))
    with tempfile.TemporaryDirectory(prefix="sortline-") as name:
        run, tokenizer = Path(name) / "run", Path(name) / "tokenizer"
        job, description = prepare_job(base, Parameters(), data, SnapshotReference(), tokenizer)
        fine_tune(job, run, Machine.of(settings))
        logits = in_float32(run, tokenizer, description, settings).logits(corpus.texts[corpus.pool :])
    predicted = np.array(description.label_ids)[logits.argmax(axis=1)]
    return round(float((predicted == corpus.labels[corpus.pool :]).mean()), 4)
