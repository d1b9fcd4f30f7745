"""The model card of a checkpoint: its README.md, in the form of Mitchell et al. and of the Hugging Face Hub.

Mitchell et al., "Model Cards for Model Reporting", FAccT 2019.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeGuard

from classifier.figures import Baselines, Detection, Evaluation, Guarantee, LabelScores, SnapshotCounts, VersionFigures
from sortline.counted import counted, more_of
from sortline.label_names import blot_unseen

_NAMED = 100
_WEAKEST = 5
_FEW_TEST_DOCUMENTS = 300
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)
UNKNOWN = "not known"


def model_card(
    *,
    base_model: str,
    labels: list[str],
    figures: VersionFigures,
    snapshot_sha256: str | None,
    max_length: int,
    created_at: datetime,
) -> str:
    """README.md of a checkpoint, Markdown with YAML front matter.

    Label names are code spans, so that nothing in them is markup. If the base model is a folder, only the last part of
    its name is given.

    Args:
        labels: names, in the order of the model's outputs.
        figures: of the model version; any may be missing.
        snapshot_sha256: of the snapshot that it was trained on.
        max_length: longest window, in tokens.
    """
    named = base_model if _HUB_ID.fullmatch(base_model) else re.split(r"[/\\]", base_model.rstrip("/\\"))[-1]
    sections = [
        _front_matter(base_model, figures.test, snapshot_sha256),
        f"# Text classification with {len(labels):,} labels\n\nFine-tuned by Sortline from {_code(named)} on "
        f"{created_at:%Y-%m-%d}. Given a text, the model says which one of its labels fits best, and how sure it is.",
        _intended_use(),
        _training_data(labels, figures.snapshot, snapshot_sha256),
        _evaluation(figures),
        _calibration(figures),
        _limitations(figures, max_length),
        _loading(figures, max_length),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(base_model: str, test: Evaluation, snapshot: str | None) -> str:
    lines = ["---", "library_name: transformers", "pipeline_tag: text-classification"]
    if _HUB_ID.fullmatch(base_model):
        lines.append(f'base_model: "{base_model}"')
    lines += ["tags:", "- text-classification", "- sortline", *_model_index(test, snapshot), "---"]
    return "\n".join(lines)


def _model_index(test: Evaluation, snapshot: str | None) -> list[str]:
    """The results for the Hub; none if nothing was measured."""
    named = (("accuracy", "accuracy", test.accuracy), ("f1", "macro-F1", test.macro_f1))
    measured = [(kind, called, value) for kind, called, value in named if is_number(value)]
    if not measured:
        return []
    name = f"Sortline snapshot {snapshot[:12]}" if snapshot else "Sortline snapshot"
    lines = ["model-index:", '- name: "Sortline text classification"', "  results:", "  - task:"]
    lines += ["      type: text-classification", "    dataset:", f'      name: "{name}, held-out test"']
    lines += ["      type: private", "      split: test", "    metrics:"]
    for kind, called, value in measured:
        lines += [f"    - type: {kind}", f"      name: {called}", f"      value: {value:.6f}"]
    return lines


def _intended_use() -> str:
    return (
        "## Intended use\n\n"
        "Sorting documents like those it was trained on into these labels, with a person behind it: predictions at or "
        "above the threshold are accepted, the others are reviewed. It is not meant for documents of another kind or "
        "language, nor for decisions about people that nobody looks at. A document that fits none of the labels gets "
        "one all the same."
    )


def _training_data(labels: Sequence[str], snapshot: SnapshotCounts, sha256: str | None) -> str:
    text = (
        "## Training data\n\nDocuments with human decisions. Texts that nearly repeat held-out ones are left out, and "
        "most of those that nearly repeat many others.\n\n"
    )
    parts = (
        ("train", snapshot.train), ("validation", snapshot.validation), ("calibration", snapshot.calibration),
        ("test", snapshot.test), ("left out", snapshot.left_out),
    )  # fmt: skip
    counted = [(part, f"{count:,}") for part, count in parts if count is not None]
    if counted:
        text += _table(("part", "documents"), counted)
    else:
        text += "How many documents there were is not recorded."
    for part, count in snapshot.not_needed.items():
        text += f"\n\n{count:,} more {part} documents are left out: a sample is enough."
    text += f"\n\nSnapshot (ids, labels, splits and text hashes) sha256: {_code(sha256) if sha256 else UNKNOWN}."
    return f"{text}\n\nLabels: {_list(labels)}."


def _evaluation(figures: VersionFigures) -> str:
    test, baselines, intervals = figures.test, figures.baselines, figures.test.intervals
    if not test.documents:
        return "## Evaluation\n\nThere were no test documents: how good this model is has not been measured."
    rows = [
        ("accuracy", percent(test.accuracy), interval(intervals.accuracy)),
        ("macro-F1", percent(test.macro_f1), interval(intervals.macro_f1)),
        ("F1 weighted by support", percent(test.weighted_f1), interval(intervals.weighted_f1)),
        ("accuracy of TF-IDF with logistic regression", percent(baselines.tfidf), ""),
        ("accuracy of always the most frequent label", percent(baselines.majority), ""),
    ]
    return (
        f"## Evaluation\n\nOn {test.documents:,} held-out test documents, used once, with the engine "
        f"{_code(figures.engine or UNKNOWN)}.\n\n"
        + _table(("figure", "value", "95 % interval"), rows)
        + "\n\nThe interval of accuracy is exact (Clopper and Pearson 1934); those of F1 are at least as wide."
        + _detection(test.detection)
    )


def _detection(found: Detection) -> str:
    if not found:
        return ""
    auroc = (
        f" The AUROC of its score, {found.known:,} known documents against these, is {found.auroc:.3f}"
        f"{_compared(found)}."
        if is_number(found.auroc)
        else ""
    )
    return (
        f"\n\nOf {counted(found.foreign, 'further test document')} that fit{'s' if found.foreign == 1 else ''} none of "
        f"its labels, {percent(found.share)} would be accepted (95 %: {interval(found.interval)}).{auroc}"
    )


def _compared(found: Detection) -> str:
    if not is_number(found.auroc_confidence) or not is_number(found.auroc_fit):
        return ""
    return f" (of the confidence alone {found.auroc_confidence:.3f}, of the fit alone {found.auroc_fit:.3f})"


def _calibration(figures: VersionFigures) -> str:
    test, threshold, temperature = figures.test, figures.threshold, figures.temperature
    shown = f"{temperature:.4f}" if is_number(temperature) else UNKNOWN
    lines = [f"- Temperature, which divides the logits: {shown}."]
    if figures.fit:
        lines.append(f"- Fit, the probability that any label fits: {figures.fit.sentence}")
    if is_number(test.ece):
        before = f", {percent(test.ece_before)} before temperature" if is_number(test.ece_before) else ""
        lines.append(f"- Expected calibration error on test: {percent(test.ece)}{before}.")
    if not is_number(threshold):
        lines.append(f"- Threshold of acceptance: {UNKNOWN}.")
    elif threshold > 1:
        lines.append("- Nothing is accepted: every document goes to a person.")
    else:
        lines.append(f"- Threshold of acceptance: {threshold:.4f}.")
    if is_number(test.coverage):
        wrong = f"; {percent(test.risk, 2)} of those are wrong" if is_number(test.risk) else ""
        lines.append(f"- On test {percent(test.coverage)} of the documents are accepted{wrong}.")
    lines.append(f"- {_guarantee(figures.guarantee)}")
    return "## Calibration and thresholds\n\n" + "\n".join(lines)


def _guarantee(guarantee: Guarantee) -> str:
    if not guarantee:
        return "No guarantee on the errors among accepted documents is recorded."
    sentence = " ".join(f"{guarantee.sentence} {guarantee.about}".split())
    promised = (
        f"at most {percent(guarantee.risk_target)} errors among accepted documents, with "
        f"{percent(guarantee.confidence, 0)} confidence."
    )
    proved = "Guarantee, proved" if guarantee.proved else "Guarantee, **not proved**"
    return f"{proved} on the calibration documents: {_escaped(sentence) or promised}"


def _limitations(figures: VersionFigures, max_length: int) -> str:
    snapshot, test, readable = figures.snapshot, figures.test, figures.readability
    found = [
        *_of_the_test(test, figures.baselines),
        *_of_the_labels(snapshot, test.per_label),
        *_of_the_data(snapshot),
        *([readable.sentence] if readable.over else []),  # its model names contain no Markdown
    ]
    if not figures.guarantee.proved:
        missing, seen = figures.guarantee.missing, figures.guarantee.documents or 0
        more = f" It takes {more_of(missing, seen, 'calibration document')}." if missing else ""
        found.append(f"The error among accepted documents is not proved to be below any target.{more}")
    found.append(
        "Every figure holds for documents like those of the snapshot. When the traffic changes, measure again."
    )
    found.append(
        f"It sees at most {max_length:,} tokens at a time. Sortline reads longer documents in windows; the code below "
        "reads the beginning only."
    )
    found.append(
        "An answer counts as right if it agrees with the people who labelled the documents; their mistakes count."
    )
    return "## Limitations\n\n" + "\n".join(f"- {each}" for each in found)


def _of_the_test(test: Evaluation, baselines: Baselines) -> list[str]:
    documents, accuracy, macro = test.documents, test.accuracy, test.macro_f1
    if not documents:
        return ["Its accuracy is unknown: there were no test documents."]
    found: list[str] = []
    if documents < _FEW_TEST_DOCUMENTS:
        found.append(
            f"It was tested on {counted(documents, 'document')}: the intervals above are wide, and say more than the "
            "values."
        )
    if not test.detection:
        found.append("No test document was one that fits none of its labels: how it answers those is not measured.")
    if is_number(accuracy) and is_number(baselines.tfidf) and accuracy <= baselines.tfidf:
        found.append("On test it is no more accurate than TF-IDF with logistic regression, which costs far less.")
    if is_number(accuracy) and is_number(macro) and accuracy - macro > 0.05:
        found.append(f"Macro-F1 lies {100 * (accuracy - macro):.1f} points below accuracy: it is worse on rare labels.")
    return found


def _of_the_labels(snapshot: SnapshotCounts, per_label: Mapping[str, LabelScores]) -> list[str]:
    found = []
    if snapshot.few_examples:
        found.append(
            f"Labels with few training examples, which it predicts less reliably: {_list(snapshot.few_examples)}."
        )
    unknown = [*(snapshot.untrained_labels or []), *(snapshot.dropped_labels or [])]
    if unknown:
        found.append(f"Labels that it does not know, because they had too few training documents: {_list(unknown)}.")
    untested = [name for name, each in per_label.items() if not each.support]
    if untested:
        found.append(f"Labels without a test document, whose accuracy is unknown: {_list(untested)}.")
    tested = sorted(((each.f1, name, each) for name, each in per_label.items() if each.support), key=lambda it: it[:2])
    weak = [(f1, name, each) for f1, name, each in tested[:_WEAKEST] if f1 < 1]
    if weak:
        listed = "; ".join(f"{_code(name)} {percent(f1, 0)} ({_evidence(each)})" for f1, name, each in weak)
        found.append(f"The weakest labels, by F1 on test: {listed}.")
    return found


def _of_the_data(snapshot: SnapshotCounts) -> list[str]:
    found = []
    if snapshot.leaks:
        found.append(
            f"{snapshot.leaks:,} near-duplicates of held-out documents are in training: its test figures are too good."
        )
    if snapshot.conflicts:
        found.append(f"People contradicted each other on {snapshot.conflicts:,} documents.")
    return found


def _evidence(each: LabelScores) -> str:
    span = interval(each.f1_interval, 0)
    documents = f"{each.support:,} test document{'s' if each.support != 1 else ''}"
    return f"{span}, {documents}" if span else documents


def _loading(figures: VersionFigures, max_length: int) -> str:
    temperature = figures.temperature
    shown = f"{temperature:.4f}" if is_number(temperature) else "1.0"
    return f"""## How to load it

`folder` is the folder of this file:

```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
inputs = tokenizer(["a text"], truncation=True, max_length={max_length}, padding=True, return_tensors="pt")
with torch.inference_mode():
    probabilities = torch.softmax(model(**inputs).logits / {shown}, dim=-1)
label = model.config.id2label[int(probabilities[0].argmax())]
```

Sortline cleans a text first, as `sortline.json` says under `cleaning`, and averages over the windows of a long one."""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _list(labels: Sequence[str]) -> str:
    named = ", ".join(map(_code, labels[:_NAMED]))
    return named + (f" and {len(labels) - _NAMED:,} more" if len(labels) > _NAMED else "")


def _code(text: str) -> str:
    """A code span of CommonMark that shows the text on one line and holds no markup."""
    seen = _one_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", seen)), default=0))
    pad = " " if seen[:1] in ("`", "") or seen.endswith("`") else ""
    return f"{fence}{pad}{seen}{pad}{fence}"


def _escaped(text: str) -> str:
    """Plain text in which no character of CommonMark means anything."""
    return re.sub(r"([\\`*_{}\[\]()<>#!|~&])", r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(blot_unseen(text, " ").split())


def is_number(value: object) -> TypeGuard[float]:
    """Whether a figure was measured: a finite number, no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def percent(value: Any, digits: int = 1) -> str:
    """A share as per cent, or that it is not known."""
    return f"{100 * value:.{digits}f} %" if is_number(value) else UNKNOWN


def interval(value: Any, digits: int = 1) -> str:
    """``[low, high]``, shares, as per cent; nothing if it is missing."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(is_number, value)):
        return ""
    return f"{100 * value[0]:.{digits}f} to {100 * value[1]:.{digits}f} %"
