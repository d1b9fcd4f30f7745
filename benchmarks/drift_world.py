"""Texts of known labels and of a new topic, embedded: what the look for drift is measured on."""

import csv
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.stack import say
from benchmarks.texts import BANKING77, labelled, training_files
from classifier.base_models import base_model_folder
from classifier.engines.choose import cores
from db.queries.drift import CHARS
from monitoring.drift import Matrix
from sortline.settings import DEFAULT_BASE_MODEL, Settings
from trainer.fine_tuning.sentence_embeddings import sentence_embeddings

SHARE = 0.1  # of the traffic, on the new topic
SETTINGS = Settings(_env_file=None)
_TEXTS, _NEW_TEXTS = 7500, 1500

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """Texts with embeddings (n, width) and labels (n,); ``is_new``: of the new topic, which has no label."""

    texts: list[str]
    embeddings: Matrix
    labels: Indices
    is_new: NDArray[np.bool_]


def world() -> World:
    """Banking77 with titles of AG News, or the sample with a third of its labels as the new topic."""
    rows = [each for path, _ in training_files() for each in labelled(path)]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:_TEXTS]]
    names = sorted({label for _, label in rows})
    labels = np.array([names.index(label) for _, label in rows])
    is_new = np.zeros(len(rows), np.bool_)
    news = BANKING77 / "ag_news_test.csv"
    if news.is_file():
        with news.open(encoding="utf-8", newline="") as file:
            titles = [row[1] for row in csv.reader(file)][:_NEW_TEXTS]
        rows += [(title, "") for title in titles]
        labels = np.concatenate([labels, np.full(len(titles), -1)])
        is_new = labels == -1
    else:
        is_new = labels >= len(names) * 2 // 3
    texts = [text for text, _ in rows]
    say(f"embedding {len(texts):,} texts")
    base = base_model_folder(DEFAULT_BASE_MODEL)
    embeddings = sentence_embeddings([t[:CHARS] for t in texts], base, "cpu", cores(SETTINGS.threads))
    return World(texts, embeddings, labels, is_new)


def thirds(found: World, seed: int) -> list[Indices]:
    """The texts that are not of the new topic: for training, held out, and the pool of traffic."""
    draw = np.random.default_rng(seed)
    return np.array_split(draw.permutation(np.flatnonzero(~found.is_new)), 3)
