"""The outcome of a training, for people at a terminal; what was not measured is left out."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from classifier.shortcomings import Shortcoming, shortcomings


def print_outcome(version_id: int, status: str, metrics: dict[str, Any]) -> None:
    """Print a model version's shortcomings, then its figures."""
    console = Console()
    print_shortcomings(console, shortcomings(metrics, status))
    table = Table(show_header=False, box=None)
    table.add_row("model version", f"{version_id} ({status})")
    for name, value in _texts(metrics):
        table.add_row(name, escape(value))
    test = metrics.get("test", {})
    for name, value in (*_documents(metrics.get("snapshot", {})), *_quality(metrics, test), *_serving(metrics)):
        table.add_row(name, escape(value))
    console.print(table)
    if test.get("documents"):
        console.print(_weakest(test))


def print_shortcomings(console: Console, found: Iterable[Shortcoming]) -> None:
    """Print each shortcoming with what to do about it."""
    for each in found:
        console.print(f"[yellow]{escape(each.said)}[/]\n  {escape(each.do)}", soft_wrap=True, highlight=False)


def _texts(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """The share of the texts that the base model can't read, if it is worth mentioning."""
    readable = metrics.get("readability", {})
    return [("texts", readable["sentence"])] if readable.get("over") else []


def gate_lines(gate: dict[str, Any]) -> list[tuple[str, str]]:
    """The promotion gate's verdict, then each criterion."""
    if not gate:
        return []
    reason = gate.get("reason", "")
    lines = [("gate", f"{gate.get('outcome', 'not judged')}: {reason}")]
    return lines + [("", f"{each['outcome']}: {each['sentence']}") for each in gate.get("criteria", [])]


def _documents(counts: dict[str, Any]) -> list[tuple[str, str]]:
    if not counts:
        return []
    parts = [f"{name} {counts[name]:,}" for name in ("train", "validation", "calibration", "test") if name in counts]
    lines = [
        ("documents", ", ".join(parts)),
        ("left out", f"{counts['left_out']:,} training texts that nearly repeat held-out texts"),
        ("leak check", f"{counts['leaks']:,} near-duplicates across splits"),
    ]
    if counts.get("conflicts"):
        lines.append(("conflicts", f"{counts['conflicts']:,} documents with conflicting decisions"))
    for name, called in (
        ("few_examples", "few examples"), ("dropped_labels", "labels that wait"), ("untrained_labels", "untrained"),
    ):  # fmt: skip
        if counts.get(name):
            lines.append((called, ", ".join(counts[name])))
    return lines


def _quality(metrics: dict[str, Any], test: dict[str, Any]) -> list[tuple[str, str]]:
    lines = []
    if test.get("documents"):
        low, high = test.get("intervals", {}).get("accuracy", (None, None))
        interval = "" if low is None else f" (95 %: {low:.1%} to {high:.1%})"
        of = f" of {test['documents']:,}"
        lines.append(("test accuracy", f"{test['accuracy']:.2%}{of}{interval}, macro-F1 {test['macro_f1']:.2%}"))
        risk = "" if test["risk"] is None else f", {test['risk']:.2%} of them wrong"
        lines.append(("accepted", f"{test['coverage']:.1%} of test{risk}"))
        before = test.get("ece_before")
        was = "" if before is None else f", {before:.2%} before"
        lines.append(("calibration", f"ECE {test['ece']:.2%} at temperature {metrics['temperature']:.2f}{was}"))
    if metrics.get("baselines"):
        simple = metrics["baselines"]
        lines.append(("for scale", f"TF-IDF {simple['tfidf']:.2%}, the most frequent label {simple['majority']:.2%}"))
    if metrics.get("guarantee"):
        lines.append(("promise", metrics["guarantee"]["sentence"]))
    return lines


def _serving(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("engine", f"{name} {'serves' if each.get('served') else 'does not serve'}: {each.get('reason', '')}")
        for name, each in metrics.get("engines", {}).items()
    ]
    if metrics.get("label_errors"):
        lines.append(
            ("label errors", f"{metrics['label_errors']:,} documents whose label looks wrong are queued for review")
        )
    lines += gate_lines(metrics.get("gate", {}))
    if metrics.get("report"):
        lines.append(("report", f"{metrics['report']}/report.html"))
    return lines


def _weakest(test: dict[str, Any]) -> Table:
    weakest = sorted(test["per_label"].items(), key=lambda item: item[1]["f1"])[:5]
    table = Table("weakest labels", "precision", "recall", "F1", "support", box=None)
    for label, row in weakest:
        table.add_row(
            escape(label), f"{row['precision']:.2f}", f"{row['recall']:.2f}", f"{row['f1']:.2f}", str(row["support"])
        )
    return table
