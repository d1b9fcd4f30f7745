"""The model card of a checkpoint: its README.md, in the form of Mitchell et al. and of the Hugging Face Hub.

Mitchell et al., "Model Cards for Model Reporting", FAccT 2019.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeGuard

from sortline.label_names import blot_unseen

_PARTS = ("train", "validation", "calibration", "test", "left_out")
_NAMED = 100
_WEAKEST = 5
_FEW_TEST_DOCUMENTS = 300
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)
UNKNOWN = "not known"


def model_card(
    *,
    base_model: str,
    labels: list[str],
    metrics: dict[str, Any],
    snapshot_sha256: str | None,
    max_length: int,
    created_at: datetime,
) -> str:
    """README.md of a checkpoint, Markdown with YAML front matter.

    Label names are code spans, so that nothing in them is markup. Of a base model that is a folder the last part
    of the name is given alone.

    Args:
        labels: names, in the order of the model's outputs.
        metrics: of the model version; any may be missing.
        snapshot_sha256: of the snapshot that it was trained on.
        max_length: longest window, in tokens.
    """
    named = base_model if _HUB_ID.fullmatch(base_model) else re.split(r"[/\\]", base_model.rstrip("/\\"))[-1]
    sections = [
        _front_matter(base_model, metrics, snapshot_sha256),
        f"# Text classification with {len(labels):,} labels\n\nFine-tuned by Sortline from {_code(named)} on "
        f"{created_at:%Y-%m-%d}. Given a text, the model says which one of its labels fits best, and how sure it is.",
        _intended_use(),
        _training_data(labels, metrics.get("snapshot") or {}, snapshot_sha256),
        _evaluation(metrics),
        _calibration(metrics),
        _limitations(metrics, max_length),
        _loading(metrics, max_length),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(base_model: str, metrics: Mapping[str, Any], snapshot: str | None) -> str:
    lines = ["---", "library_name: transformers", "pipeline_tag: text-classification"]
    if _HUB_ID.fullmatch(base_model):
        lines.append(f'base_model: "{base_model}"')
    lines += ["tags:", "- text-classification", "- sortline", *_model_index(metrics.get("test") or {}, snapshot), "---"]
    return "\n".join(lines)


def _model_index(test: Mapping[str, Any], snapshot: str | None) -> list[str]:
    """What the Hub reads as results; nothing where nothing was measured."""
    measured = [
        (kind, name, test[key])
        for kind, name, key in (("accuracy", "accuracy", "accuracy"), ("f1", "macro-F1", "macro_f1"))
        if is_number(test.get(key))
    ]
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


def _training_data(labels: Sequence[str], snapshot: Mapping[str, Any], sha256: str | None) -> str:
    text = (
        "## Training data\n\nDocuments with human decisions. Texts that nearly repeat held-out ones are left out.\n\n"
    )
    counted = [part for part in _PARTS if is_number(snapshot.get(part))]
    if counted:
        rows = [(part.replace("_", " "), f"{snapshot[part]:,}") for part in counted]
        text += _table(("part", "documents"), rows)
    else:
        text += "How many documents there were is not recorded."
    text += f"\n\nSnapshot (ids, labels, splits and text hashes) sha256: {_code(sha256) if sha256 else UNKNOWN}."
    return f"{text}\n\nLabels: {_list(labels)}."


def _evaluation(metrics: Mapping[str, Any]) -> str:
    test, baselines = metrics.get("test") or {}, metrics.get("baselines") or {}
    if not test.get("documents"):
        return "## Evaluation\n\nThere were no test documents: how good this model is has not been measured."
    intervals = test.get("intervals") or {}
    named = (("accuracy", "accuracy"), ("macro-F1", "macro_f1"), ("F1 weighted by support", "weighted_f1"))
    rows = [(name, percent(test.get(key)), interval(intervals.get(key))) for name, key in named]
    rows.append(("accuracy of TF-IDF with logistic regression", percent(baselines.get("tfidf")), ""))
    rows.append(("accuracy of always the most frequent label", percent(baselines.get("majority")), ""))
    return (
        f"## Evaluation\n\nOn {test['documents']:,} held-out test documents, looked at once, with the engine "
        f"{_code(str(metrics.get('engine', UNKNOWN)))}.\n\n"
        + _table(("figure", "value", "95 % interval"), rows)
        + "\n\nThe interval of accuracy is exact (Clopper and Pearson 1934); those of F1 are at least as wide."
    )


def _calibration(metrics: Mapping[str, Any]) -> str:
    test, threshold = metrics.get("test") or {}, metrics.get("threshold")
    temperature = metrics.get("temperature")
    shown = f"{temperature:.4f}" if is_number(temperature) else UNKNOWN
    lines = [f"- Temperature, which divides the logits: {shown}."]
    if is_number(test.get("ece")):
        before = f", {percent(test['ece_before'])} before temperature" if is_number(test.get("ece_before")) else ""
        lines.append(f"- Expected calibration error on test: {percent(test['ece'])}{before}.")
    if not is_number(threshold):
        lines.append(f"- Threshold of acceptance: {UNKNOWN}.")
    elif threshold > 1:
        lines.append("- No threshold is accepted: every document goes to a person.")
    else:
        lines.append(f"- Threshold of acceptance: {threshold:.4f}.")
    if is_number(test.get("coverage")):
        wrong = f"; {percent(test['risk'], 2)} of those are wrong" if is_number(test.get("risk")) else ""
        lines.append(f"- On test {percent(test['coverage'])} of the documents are accepted{wrong}.")
    lines.append(f"- {_guarantee(metrics.get('guarantee') or {})}")
    return "## Calibration and thresholds\n\n" + "\n".join(lines)


def _guarantee(guarantee: Mapping[str, Any]) -> str:
    if not guarantee:
        return "No guarantee on the errors among accepted documents is recorded."
    said = " ".join(str(guarantee.get("sentence") or "").split())
    promised = (
        f"at most {percent(guarantee.get('risk_target'))} errors among accepted documents, with "
        f"{percent(guarantee.get('confidence'), 0)} confidence."
    )
    proved = "Guarantee, proved" if guarantee.get("proved") else "Guarantee, **not proved**"
    return f"{proved} on the calibration documents: {_escaped(said) or promised}"


def _limitations(metrics: Mapping[str, Any], max_length: int) -> str:
    snapshot, test = metrics.get("snapshot") or {}, metrics.get("test") or {}
    found = [
        *_of_the_test(test, metrics.get("baselines") or {}),
        *_of_the_labels(snapshot, test.get("per_label") or {}),
        *_of_the_data(snapshot),
        *_of_the_texts(metrics.get("readability") or {}),
    ]
    guarantee = metrics.get("guarantee") or {}
    if not guarantee.get("proved"):
        missing = guarantee.get("missing")
        more = f" About {missing:,} more calibration documents are needed." if missing and is_number(missing) else ""
        found.append(f"The error among accepted documents is not proved to be below any target.{more}")
    found.append(
        "Every figure holds for documents like those of the snapshot. When what arrives changes, measure again."
    )
    found.append(
        f"It sees at most {max_length:,} tokens at a time. Sortline reads longer documents in windows; the code below "
        "reads the beginning only."
    )
    found.append("Right means right as the people who labelled the documents see it; their mistakes are in it.")
    return "## Limitations\n\n" + "\n".join(f"- {each}" for each in found)


def _of_the_test(test: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[str]:
    documents, accuracy = test.get("documents") or 0, test.get("accuracy")
    if not documents:
        return ["Nothing is known of its accuracy: there were no test documents."]
    found: list[str] = []
    if documents < _FEW_TEST_DOCUMENTS:
        found.append(
            f"Only {documents:,} documents test it: the intervals above are wide, and count more than the values."
        )
    if is_number(accuracy) and is_number(baselines.get("tfidf")) and accuracy <= baselines["tfidf"]:
        found.append("On test it is no more accurate than TF-IDF with logistic regression, which costs far less.")
    macro = test.get("macro_f1")
    if is_number(accuracy) and is_number(macro) and accuracy - macro > 0.05:
        found.append(f"Macro-F1 lies {100 * (accuracy - macro):.1f} points below accuracy: it is worse on rare labels.")
    return found


def _of_the_labels(snapshot: Mapping[str, Any], per_label: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    if snapshot.get("few_examples"):
        found.append(f"Labels with few training examples, known badly: {_list(snapshot['few_examples'])}.")
    unknown = [*(snapshot.get("untrained_labels") or []), *(snapshot.get("dropped_labels") or [])]
    if unknown:
        found.append(f"Labels that it does not know, for want of training documents: {_list(unknown)}.")
    untested = [name for name, each in per_label.items() if not each.get("support")]
    if untested:
        found.append(f"Labels without a test document, of which nothing is known: {_list(untested)}.")
    tested = sorted((each["f1"], name, each) for name, each in per_label.items() if each.get("support"))
    weak = [(f1, name, each) for f1, name, each in tested[:_WEAKEST] if f1 < 1]
    if weak:
        listed = "; ".join(f"{_code(name)} {percent(f1, 0)} ({_evidence(each)})" for f1, name, each in weak)
        found.append(f"The weakest labels, by F1 on test: {listed}.")
    return found


def _of_the_data(snapshot: Mapping[str, Any]) -> list[str]:
    found = []
    if snapshot.get("leaks"):
        found.append(f"{snapshot['leaks']:,} near-duplicates of held-out documents are in training: test flatters it.")
    if snapshot.get("conflicts"):
        found.append(f"People contradicted each other on {snapshot['conflicts']:,} documents.")
    return found


def _of_the_texts(readable: Mapping[str, Any]) -> list[str]:
    """What of the texts the tokenizer loses; the names of models in it hold nothing that Markdown reads."""
    return [str(readable["sentence"])] if readable.get("over") and readable.get("sentence") else []


def _evidence(each: Mapping[str, Any]) -> str:
    span = interval(each.get("f1_interval"), 0)
    documents = f"{each['support']:,} test document{'s' if each['support'] != 1 else ''}"
    return f"{span}, {documents}" if span else documents


def _loading(metrics: Mapping[str, Any], max_length: int) -> str:
    temperature = metrics.get("temperature")
    shown = f"{temperature:.4f}" if is_number(temperature) else "1.0"
    return f"""## How to load it

`folder` is where this file lies:

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
    """``[low, high]``, shares, as per cent; nothing where it is missing."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(is_number, value)):
        return ""
    return f"{100 * value[0]:.{digits}f} to {100 * value[1]:.{digits}f} %"
