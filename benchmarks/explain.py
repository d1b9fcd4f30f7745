"""Whether explanations tell the truth, and how quick they are: as in ERASER, against random words and the gradient."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.model import ensure_model
from benchmarks.stack import processor, result, say, stack
from classifier.classifier import Classifier, assemble, fetch_checkpoint
from classifier.engines.choose import cores
from classifier.explain import Explainer
from classifier.store import model_store
from classifier.tokens import Span
from classifier.words import words
from db.queries.labelled import labelled_documents
from db.session import session
from sortline.settings import Settings
from worker.explainer import ExplainerProcess

_TEXTS = 300
_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # of the words, rounded up: at least one
_SEED = 5
_TIMED = 15
_TIMED_WORDS = 60

Weights = dict[Span, float]


def explain() -> None:
    """`explain`: faithfulness of the explanations, of random words and of the plain gradient; errors, and seconds.

    DeYoung and others, "ERASER: A Benchmark to Evaluate Rationalized NLP Models", ACL 2020. Comprehensiveness: how much
    probability the predicted label loses without the words that are ranked first (more is better). Sufficiency: how
    much it loses when they alone are left (less is better). Both are means over shares of the words, of 300 test texts.

    The plain gradient ranks words by the norm of the score's gradient at their pieces, added up. ``completeness_error``
    is the 95th percentile over the texts; ``seconds_p50`` the median of different 60-word texts, asked of the running
    process as a worker asks it; ``seconds_first`` the first one, with the start of the process.
    """
    uri, sha256 = ensure_model()
    with stack("model", keep=True) as made, session(made.settings.postgres_url) as opened:
        pool = [document.text for document in labelled_documents(opened) if document.split == "test"]
        settings = made.settings.model_copy(update={"engine": "torch", "precision": "f32", "device": "cpu"})
    stored = fetch_checkpoint(uri, sha256, model_store(settings))
    first, seconds = _seconds(settings, uri, sha256, pool, stored.description.label_ids[0])
    torch.set_num_threads(cores(settings.threads))
    classifier = assemble(stored.folder, stored.description, settings)
    explainer = Explainer(stored.folder, stored.description)
    draw = np.random.default_rng(_SEED)
    texts = [pool[i] for i in draw.permutation(len(pool))[:_TEXTS]]
    predicted = classifier.predict_proba(texts).argmax(axis=1)
    say(f"explaining {len(texts)} texts")
    targets = predicted.tolist()
    found = [
        explainer.explain(text, stored.description.label_ids[target])
        for text, target in zip(texts, targets, strict=True)
    ]
    by_gradient = [_gradient(explainer, text, target) for text, target in zip(texts, targets, strict=True)]
    by_weight: list[Weights] = [{(first, last): weight for first, last, weight in each.words} for each in found]
    say("taking words away")
    figures: dict[str, float] = {}
    for name, weigh in (
        ("", lambda i, span: by_weight[i].get(span, 0.0)),
        ("_random", lambda _i, _span: draw.random()),
        ("_gradient", lambda i, span: by_gradient[i].get(span, 0.0)),
    ):
        comprehensiveness, sufficiency = _faithfulness(classifier, texts, predicted, weigh)
        figures |= {f"comprehensiveness{name}": comprehensiveness, f"sufficiency{name}": sufficiency}
    errors = [each.completeness_error for each in found]
    say(f"{processor()}; {statistics.mean(each.steps for each in found):.1f} steps on average")
    result(
        "explain",
        texts=len(texts),
        seconds_p50=round(statistics.median(seconds), 3),
        seconds_first=round(first, 3),
        completeness_error=round(float(np.quantile(errors, 0.95)), 4),
        completeness_error_max=round(max(errors), 4),
        **{name: round(value, 4) for name, value in sorted(figures.items())},
    )


def _seconds(
    settings: Settings, uri: str, sha256: str, pool: Sequence[str], label_id: int
) -> tuple[float, list[float]]:
    """Seconds of the first text, and of those after it."""
    process = ExplainerProcess(model_store(settings), settings.threads, settings.explain_keep_s)
    all_words = " ".join(pool).split()
    seconds: list[float] = []
    try:
        for i in range(_TIMED + 1):
            text = " ".join(all_words[i * _TIMED_WORDS : (i + 1) * _TIMED_WORDS])
            began = time.perf_counter()
            process.explain(uri, sha256, text, label_id)
            seconds.append(time.perf_counter() - began)
    finally:
        process.end()
    return seconds[0], seconds[1:]


def _gradient(explainer: Explainer, text: str, target: int) -> Weights:
    """Norm of the gradient of a label's score at the embeddings of each word, added up over its pieces."""
    cleaned = explainer.checkpoint.cleaning(text)
    window = explainer._tokenizer.prepare([cleaned])[0].windows[0]
    spans = explainer._tokenizer.spans(cleaned)[0]
    embedded = explainer._embedded(window, spans)[0].requires_grad_()
    (gradient,) = torch.autograd.grad(explainer._scores(embedded)[0, target], embedded)
    norms = gradient[0].norm(dim=1).tolist()
    found, _ = explainer._by_word(text, cleaned, list(zip(spans, norms, strict=True)))
    return {(first, last): weight for first, last, weight in found}


def _faithfulness(
    classifier: Classifier, texts: Sequence[str], predicted: NDArray[np.int64], weigh: Callable[[int, Span], float]
) -> tuple[float, float]:
    """Comprehensiveness and sufficiency of a ranking of words."""
    changed: list[str] = []
    for i, text in enumerate(texts):
        spans = words(text)
        ranked = sorted(spans, key=partial(weigh, i), reverse=True)
        for share in _SHARES:
            first = set(ranked[: math.ceil(share * len(spans))])
            changed.append(" ".join(text[slice(*span)] for span in spans if span not in first))
            changed.append(" ".join(text[slice(*span)] for span in spans if span in first))
    rows = np.arange(len(texts))
    whole = classifier.predict_proba(texts)[rows, predicted]
    left = classifier.predict_proba(changed).reshape(len(texts), len(_SHARES), 2, -1)
    loss = whole[:, None, None] - left[rows, :, :, predicted]
    comprehensiveness, sufficiency = loss.mean(axis=(0, 1)).tolist()
    return comprehensiveness, sufficiency
