"""By which test of which embedding is a new topic found? One look each, at the level that a look has."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.drift_world import SETTINGS, SHARE, Indices, World, thirds, world
from benchmarks.stack import result, say
from classifier.base_models import base_model_folder
from classifier.checkpoint import SnapshotReference
from classifier.figures import SnapshotCounts
from db.queries.labelled import Labelled
from monitoring import drift
from monitoring.drift import Figures, Matrix
from monitoring.drift_process import REFERENCE, level_of_a_check
from sortline.settings import DEFAULT_BASE_MODEL
from trainer.data.training_data import with_labels
from trainer.fine_tuning.fine_tune import Machine, fine_tune
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.prepare import Base, prepare_job

_LEVEL = level_of_a_check(SETTINGS.drift_false_alarms)
_DRAWS = 40
_EPOCHS = 3
_COUNTS = (500, 1000)  # documents of a look, all of them since the shift
_OTHER_STREAMS = frozenset((each, "training") for each in drift.STREAMS if each != "embedding")

Finds = Callable[[Matrix, Matrix, Matrix], bool]


def drift_methods() -> None:
    """`drift_methods`: share of 40 looks that find a new topic at a tenth of 500 and of 1,000 documents.

    As in `drift`; all at the level of one stream against one reference. ``nearest``: what looks do, the distance to
    the nearest of 2,000 training texts. ``domain_classifier``: a logistic regression learns on half of the documents
    which are new, and ranks the other half (Mann and Whitney's test). ``mmd``: the maximum mean discrepancy, by the
    test that needs no permutations (Shekhar, Kim and Ramdas, "A Permutation-free Kernel Two-Sample Test", 2022);
    a permutation test of this level takes 144,000 at least. Each on embeddings of the ``pretrained`` encoder and on
    the pooled output of a ``fine_tuned`` classifier, which is what its head sees.
    """
    found = world()
    parts = thirds(found, seed=0)
    shares = {"pretrained": _shares(found, parts, found.embeddings)}
    say(f"pretrained: {shares['pretrained']}")
    shares["fine_tuned"] = _shares(found, parts, _pooled_outputs(found, parts[0]))
    result("drift_methods", documents=list(_COUNTS), draws=_DRAWS, level=_LEVEL, **shares)


def _shares(found: World, parts: list[Indices], embeddings: Matrix) -> dict[str, list[float]]:
    """Share of draws in which each test finds the new topic, by number of documents."""
    training, held_out, pool = parts
    new = np.flatnonzero(found.is_new)
    draw = np.random.default_rng(1)
    hits: dict[str, list[list[bool]]] = {name: [] for name in _TESTS}
    for _ in range(_DRAWS):
        is_new = draw.random(_COUNTS[-1]) < SHARE
        traffic = np.where(is_new, draw.choice(new, _COUNTS[-1]), draw.choice(pool, _COUNTS[-1]))
        for name, finds in _TESTS.items():
            known = embeddings[training[:REFERENCE]], embeddings[held_out[:REFERENCE]]
            hits[name].append([finds(*known, embeddings[traffic[:count]]) for count in _COUNTS])
    return {name: np.mean(each, axis=0).round(3).tolist() for name, each in hits.items()}


def _nearest(anchors: Matrix, before: Matrix, now: Matrix) -> bool:
    then, traffic = _distances(before, anchors), _distances(now, anchors)
    return bool(drift.moved(
        {"training": then}, traffic, [0], _LEVEL, SETTINGS.drift_margin, _OTHER_STREAMS
    ))  # fmt: skip


def _distances(embeddings: Matrix, anchors: Matrix) -> Figures:
    nothing = np.zeros(len(embeddings))
    distances = drift.distance_to_nearest(embeddings, anchors)
    return Figures(nothing, nothing.astype(np.int64), nothing, nothing, distances)


def _domain_classifier(_: Matrix, before: Matrix, now: Matrix) -> bool:
    from scipy.stats import mannwhitneyu
    from sklearn.linear_model import LogisticRegression

    is_now = np.repeat([False, True], [len(before), len(now)])
    both = np.concatenate([before, now])
    model = LogisticRegression(max_iter=200, class_weight="balanced").fit(both[::2], is_now[::2])
    scores = model.decision_function(both[1::2])
    p = mannwhitneyu(scores[is_now[1::2]], scores[~is_now[1::2]], alternative="greater").pvalue
    return bool(p < _LEVEL)


def _mmd(_: Matrix, before: Matrix, now: Matrix) -> bool:
    from scipy.spatial.distance import cdist
    from scipy.stats import norm

    width = np.median(cdist(before[:500], now[:500], "sqeuclidean"))

    def witness(texts: Matrix) -> Matrix:
        theirs, ours = (np.exp(-cdist(texts, half, "sqeuclidean") / width) for half in (now[1::2], before[1::2]))
        return np.asarray(theirs.mean(axis=1) - ours.mean(axis=1))

    of_now, of_before = witness(now[::2]), witness(before[::2])
    error = np.sqrt(of_now.var(ddof=1) / len(of_now) + of_before.var(ddof=1) / len(of_before))
    return bool(norm.sf((of_now.mean() - of_before.mean()) / error) < _LEVEL)


_TESTS: dict[str, Finds] = {"nearest": _nearest, "domain_classifier": _domain_classifier, "mmd": _mmd}


def _pooled_outputs(found: World, training: Indices) -> Matrix:
    """Unit vectors (n, width) of a classifier that was fine-tuned on the training texts."""
    documents = [
        Labelled(int(i), found.texts[i], b"", int(found.labels[i]), f"{found.labels[i]:02}", True, None, None)
        for i in training
    ]
    data = with_labels(
        {"train": documents, "validation": [], "calibration": [], "test": [], "left_out": []}, SnapshotCounts()
    )
    base = Base(DEFAULT_BASE_MODEL, base_model_folder(DEFAULT_BASE_MODEL))
    with tempfile.TemporaryDirectory(prefix="sortline-") as name:
        tokenizer, run = Path(name) / "tokenizer", Path(name) / "run"
        job, _ = prepare_job(base, Parameters(epochs=_EPOCHS), data, SnapshotReference(), tokenizer)
        say(f"fine-tuning on {len(documents):,} texts")
        fine_tune(job, run, Machine.of(SETTINGS))
        return _pooled(found.texts, run / "model", tokenizer)


def _pooled(texts: list[str], model_folder: Path, tokenizer_folder: Path) -> Matrix:
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(model_folder, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    pooled = np.zeros((len(texts), model.config.hidden_size), np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            chosen = order[start : start + 64]
            batch = tokenizer([texts[i] for i in chosen], padding=True, truncation=True, max_length=256,
                              return_tensors="pt")  # fmt: skip
            pooled[chosen] = torch.nn.functional.normalize(model(**batch).pooler_output).numpy()
    return pooled
