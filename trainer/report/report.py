"""The report of a training run: one page of figures, pictures and cases, and one file beside it with their texts.

The page holds no text of any document. ``texts.js`` holds those it shows, by document id, so that erasure has one
small file to reach, and a page without it can be sent elsewhere.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup
from numpy.typing import NDArray

from classifier.decision import FOREIGN
from classifier.figures import A_PERSON_DECIDES, AGAINST_STARTER, Flips, Verdict, VersionFigures
from classifier.risk_targets import ALONE, named, told
from classifier.shortcomings import shortcomings
from sortline.counted import counted, more_of
from trainer.data import bounds
from trainer.evaluation.gate import Outcome
from trainer.report import plots
from trainer.report.drawing import Plot
from trainer.report.model_card import UNKNOWN, interval, is_number, percent
from trainer.report.texts import TEXT_LENGTH, TEXTS, pack_texts

NONE_FITS = "none fits"  # what people decided of a document, in words
WORST_ERRORS = 50
_MOST_FLIPS = 200  # of those gained, and of those lost
_MOST_SUSPECTS = 200
_MOST_CONFUSIONS = 25
# Texts are put in as text, never as markup.
_SCRIPT = """
const texts = window.sortlineTexts || {};
for (const row of document.querySelectorAll("[data-document]")) {
  if (!Object.hasOwn(texts, row.dataset.document)) continue;
  const place = row.querySelector(".text");
  place.textContent = texts[row.dataset.document];
  place.classList.remove("soft");
}
"""


@dataclass(frozen=True)
class ReportContent:
    """What a report is made of.

    ``figures`` are those of the model version; any may be missing. Of the n test documents: ``targets`` (n,) are
    indices into ``labels`` or FOREIGN, ``given`` what people decided, in words, ``probabilities`` (n, labels) are
    calibrated, ``uncalibrated`` (n, labels) those at temperature 1, ``accepted`` (n,) says what would be accepted
    automatically. ``suspects`` are dicts of document_id, text, given, suggested and score: the probability of the given
    label, 0 to 1.
    """

    run_id: int
    created_at: datetime
    base_model: str
    labels: list[str]
    figures: VersionFigures
    targets: NDArray[np.int64]
    given: list[str]
    probabilities: NDArray[np.float32]
    uncalibrated: NDArray[np.float32]
    document_ids: list[int]
    texts: list[str]
    accepted: NDArray[np.bool_]
    suspects: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """A document that the page lists; ``share`` (0 to 1) is what ``measure`` names."""

    document_id: int
    given: str | None
    answer: str | None
    measure: str
    share: float | None
    suspect: bool


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases listed, and how many there are."""

    listed: list[Case]
    count: int


def write_report(folder: Path, content: ReportContent) -> None:
    """Write ``report.html``: it loads only ``texts.js`` beside it, and works without that too."""
    page = _environment().get_template("report.html").render(_view(content))
    _write(folder / "report.html", page)


def texts_of(content: ReportContent) -> dict[str, Any]:
    """Texts of the documents that the page lists, by document id, each cut at 2,000 characters."""
    texts = {int(suspect["document_id"]): str(suspect["text"]) for suspect in content.suspects}
    texts |= dict(zip(content.document_ids, content.texts, strict=True))
    listed = [worst_errors(content), suspects(content), *(flips(content, which) for which in ("gained", "lost"))]
    ids = sorted({case.document_id for cases in listed for case in cases.listed} & texts.keys())
    return {str(each): _cut(texts[each]) for each in ids}


def write_texts(folder: Path, content: ReportContent) -> None:
    """Write ``texts.js``: ``window.sortlineTexts = `` and a JSON object to the end of the file."""
    _write(folder / TEXTS, pack_texts(texts_of(content)))


def worst_errors(content: ReportContent) -> Cases:
    """The 50 wrong answers that the model was surest of, the surest first."""
    if not len(content.targets):
        return Cases([], 0)
    confidence = content.probabilities.max(axis=1)
    wrong = np.flatnonzero(content.probabilities.argmax(axis=1) != content.targets)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST_ERRORS]
    return Cases(_tested(content, surest.tolist()), len(wrong))


def flips(content: ReportContent, which: str) -> Cases:
    """Documents that turned right (``gained``) or wrong (``lost``) against the active version."""
    ids = _flipped(content.figures.gate.flips, which)
    place = {document_id: i for i, document_id in enumerate(content.document_ids)}
    listed = []
    for each in ids[:_MOST_FLIPS]:
        found = [place[each]] if each in place else []
        listed += _tested(content, found) or [Case(each, None, None, "confidence", None, False)]
    return Cases(listed, len(ids))


def suspects(content: ReportContent) -> Cases:
    """Documents whose human label is likely wrong, the likeliest first."""
    ordered = sorted(content.suspects, key=lambda each: (each["score"], each["document_id"]))
    listed = [
        Case(int(each["document_id"]), each["given"], each["suggested"], "given label", float(each["score"]), False)
        for each in ordered[:_MOST_SUSPECTS]
    ]
    return Cases(listed, len(ordered))


def _tested(content: ReportContent, places: Iterable[int]) -> list[Case]:
    """Cases of test documents, by their places."""
    doubted = {int(each["document_id"]) for each in content.suspects}
    found = []
    for i in places:
        answer = int(content.probabilities[i].argmax())
        share = float(content.probabilities[i, answer])
        document_id, given = int(content.document_ids[i]), content.given[i]
        found.append(Case(document_id, given, content.labels[answer], "confidence", share, document_id in doubted))
    return found


def _flipped(found: Flips, which: str) -> list[int]:
    return found.gained if which == "gained" else found.lost


def _view(content: ReportContent) -> dict[str, Any]:
    """What the template shows."""
    figures = content.figures
    return {
        "content": content,
        "figures": figures,
        "test": figures.test,
        "gate": figures.gate,
        "snapshot": figures.snapshot,
        "sampled": bounds.said(figures.snapshot.train or 0),
        "guarantee": figures.guarantee,
        "verdict": verdict(figures.gate),
        "lacks": [each for each in shortcomings(figures) if each.name != "undecided"],  # the verdict says it
        "plots": _plots(content),
        "confusions": _confusions(content),
        "per_label": sorted(figures.test.per_label.items(), key=lambda pair: (not pair[1].support, pair[1].f1)),
        "worst": worst_errors(content),
        "flips": {which: flips(content, which) for which in ("gained", "lost")},
        "suspects": suspects(content),
        "script": Markup(_SCRIPT),  # noqa: S704 - a constant
        "script_hash": base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode(),
        "matrix_labels": plots.MATRIX_LABELS,
        "alone": ALONE,
        "target": named,
        "told": told,
    }


def verdict(gate: Verdict) -> str:
    """What the gate decided, in one sentence."""
    outcome, against, reason = gate.outcome, gate.against, gate.reason
    other = "the active version" if against is None else f"version {against}"
    if outcome == "passed":
        if against is None:
            return (
                "Passed: there was no active version to compare with. It is shown to be more accurate than the most "
                "frequent label alone, and not shown to be worse than TF-IDF."
            )
        starter = any(each.name == AGAINST_STARTER for each in gate.criteria)
        found = "more accurate than" if gate.better else "not worse than"
        return f"Passed: {reason if starter else f'shown to be {found} {other}'}."
    if outcome == "no evidence":
        return (
            f"Not passed, because evidence is missing: {reason}. No other version is live, so it goes live and accepts "
            "nothing."
        )
    if outcome == "refused":
        return f"Refused: {reason or 'the gate gives no reason'}."
    if outcome == "undecided":
        return f"Undecided, a person decides: {(reason or 'the gate gives no reason').removesuffix(A_PERSON_DECIDES)}."
    return "The gate has not judged this model."


def _plots(content: ReportContent) -> dict[str, Plot | None]:
    figures, test = content.figures, content.figures.test
    predicted, confidence = _answers(content)
    right, known = predicted == content.targets, content.targets != FOREIGN
    return {
        "accuracies": plots.accuracies(test, figures.baselines),
        "differences": plots.differences(figures.gate.criteria),
        "loss": plots.training_loss(figures.learning),
        "scores": plots.validation_scores(figures.learning),
        "confusions": plots.confusion_matrix(content.targets[known], predicted[known], content.labels),
        "reliability": plots.reliability(content.targets, content.probabilities, content.uncalibrated, test),
        "risk": plots.risk_coverage(test, figures.guarantee.risk_target),
        "histograms": plots.confidences(
            confidence, right, content.accepted, None if figures.fit.weight else figures.threshold
        ),
        "labels": plots.f1_by_label(test.per_label),
    }


def _answers(content: ReportContent) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Index of each test document's likeliest label, (n,), and its probability, (n,)."""
    if not len(content.targets):
        return np.empty(0, np.int64), np.empty(0, np.float32)
    return content.probabilities.argmax(axis=1), content.probabilities.max(axis=1)


def _confusions(content: ReportContent) -> list[tuple[str, str, int, float]]:
    """The 25 most frequent: true label, predicted label, documents, share of the true label's documents."""
    known = content.targets != FOREIGN
    targets, predicted = content.targets[known].tolist(), _answers(content)[0][known].tolist()
    support = Counter(targets)
    pairs = Counter(zip(targets, predicted, strict=True))
    wrong = Counter({pair: count for pair, count in pairs.items() if pair[0] != pair[1]})
    return [
        (content.labels[true], content.labels[guess], count, count / support[true])
        for (true, guess), count in wrong.most_common(_MOST_CONFUSIONS)
    ]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "figure": _figure, "count": _count, "interval": _interval}
    environment.filters |= {"outcome": _outcome, "counted": counted}
    environment.globals["more_of"] = more_of
    environment.tests["number"] = is_number  # Jinja calls NaN and true numbers too
    return environment


def _percent(value: Any, digits: int = 1) -> str:
    return percent(value, digits).replace(" %", "\u00a0%")


def _interval(value: Any, digits: int = 1) -> str:
    return interval(value, digits).replace(" %", "\u00a0%")


def _count(value: Any) -> str:
    return f"{value:,}" if is_number(value) else UNKNOWN


def _figure(value: Any) -> str:
    """Any figure, as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _outcome(value: Any) -> str:
    """A class name of the page for a criterion's outcome."""
    return {"no evidence": "undecided"}.get(value, value) if value in get_args(Outcome) else "unknown"


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH else text[:TEXT_LENGTH] + "…"


def _write(path: Path, text: str) -> None:
    """Write all or nothing; what can't be written as UTF-8 becomes a question mark."""
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_bytes(text.encode("utf-8", "replace"))
    partial.rename(path)
