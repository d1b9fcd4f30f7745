"""The outcome of a training, for people at a terminal; what was not measured is left out."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from classifier.figures import Evaluation, FormFigures, SnapshotCounts, Verdict, VersionFigures
from classifier.shortcomings import Shortcoming, shortcomings
from db.models import ModelForm


def print_outcome(version_id: int, status: str, figures: VersionFigures) -> None:
    """Print a model version's shortcomings, then its figures."""
    console = Console()
    print_shortcomings(console, shortcomings(figures, status))
    table = Table(show_header=False, box=None)
    table.add_row("model version", f"{version_id} ({status})")
    for name, value in (
        *_texts(figures), *_documents(figures.snapshot), *_quality(figures, figures.test), *_serving(figures),
    ):  # fmt: skip
        table.add_row(name, escape(value))
    console.print(table)
    if figures.test.documents:
        console.print(_weakest(figures.test))


def print_forms(serving: str, forms: Iterable[ModelForm]) -> None:
    """Print which form of a model version serves, and what is known of each other one."""
    table = Table("form", "", "what is known of it", box=None)
    for form in forms:
        verdict = FormFigures.model_validate(form.figures).verdict
        said = verdict.reason or ("the model as it was trained" if form.name == "whole" else "nothing is recorded")
        table.add_row(form.name, "serves" if form.name == serving else form.state, escape(said))
    Console().print(table)


def print_shortcomings(console: Console, found: Iterable[Shortcoming]) -> None:
    """Print each shortcoming with what to do about it."""
    for each in found:
        console.print(f"[yellow]{escape(each.said)}[/]\n  {escape(each.do)}", soft_wrap=True, highlight=False)


def _texts(figures: VersionFigures) -> list[tuple[str, str]]:
    """The share of the texts that the base model can't read, if it is worth mentioning."""
    return [("texts", figures.readability.sentence)] if figures.readability.over else []


def gate_lines(gate: Verdict) -> list[tuple[str, str]]:
    """The promotion gate's verdict, then each criterion."""
    if not gate:
        return []
    lines = [("gate", f"{gate.outcome or 'not judged'}: {gate.reason}")]
    return lines + [("", f"{each.outcome}: {each.sentence}") for each in gate.criteria]


def _documents(counts: SnapshotCounts) -> list[tuple[str, str]]:
    if not counts:
        return []
    parts = (
        ("train", counts.train), ("validation", counts.validation), ("calibration", counts.calibration),
        ("test", counts.test),
    )  # fmt: skip
    lines = [("documents", ", ".join(f"{name} {count:,}" for name, count in parts if count is not None))]
    if counts.left_out is not None:
        lines.append(("left out", f"{counts.left_out:,} training texts that nearly repeat held-out texts"))
    if counts.leaks is not None:
        lines.append(("leak check", f"{counts.leaks:,} near-duplicates across splits"))
    if counts.conflicts:
        lines.append(("conflicts", f"{counts.conflicts:,} documents with conflicting decisions"))
    for called, labels in (
        ("few examples", counts.few_examples), ("labels that wait", counts.dropped_labels),
        ("untrained", counts.untrained_labels),
    ):  # fmt: skip
        if labels:
            lines.append((called, ", ".join(labels)))
    return lines


def _quality(figures: VersionFigures, test: Evaluation) -> list[tuple[str, str]]:
    lines = []
    if test.documents:
        low, high = test.intervals.accuracy or (None, None)
        interval = "" if low is None else f" (95 %: {low:.1%} to {high:.1%})"
        of = f" of {test.documents:,}"
        lines.append(("test accuracy", f"{test.accuracy:.2%}{of}{interval}, macro-F1 {test.macro_f1:.2%}"))
        risk = "" if test.risk is None else f", {test.risk:.2%} of them wrong"
        lines.append(("accepted", f"{test.coverage:.1%} of test{risk}"))
        was = "" if test.ece_before is None else f", {test.ece_before:.2%} before"
        lines.append(("calibration", f"ECE {test.ece:.2%} at temperature {figures.temperature:.2f}{was}"))
    if figures.baselines:
        simple = figures.baselines
        lines.append(("for scale", f"TF-IDF {simple.tfidf:.2%}, the most frequent label {simple.majority:.2%}"))
    if figures.guarantee:
        lines.append(("promise", figures.guarantee.sentence))
    return lines


def _serving(figures: VersionFigures) -> list[tuple[str, str]]:
    lines = []
    if figures.label_errors:
        lines.append(
            ("label errors", f"{figures.label_errors:,} documents whose label looks wrong are queued for review")
        )
    lines += gate_lines(figures.gate)
    if figures.report:
        lines.append(("report", f"{figures.report}/report.html"))
    return lines


def _weakest(test: Evaluation) -> Table:
    weakest = sorted(test.per_label.items(), key=lambda item: item[1].f1)[:5]
    table = Table("weakest labels", "precision", "recall", "F1", "support", box=None)
    for label, row in weakest:
        table.add_row(escape(label), f"{row.precision:.2f}", f"{row.recall:.2f}", f"{row.f1:.2f}", str(row.support))
    return table
