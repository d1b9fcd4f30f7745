"""The outcome of a training, for people at a terminal; what was not measured is left out."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from classifier.figures import Evaluation, FormFigures, Offer, SnapshotCounts, Verdict, VersionFigures
from classifier.risk_targets import ALONE, named, told
from classifier.shortcomings import Shortcoming, shortcomings, told_of_form
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


def print_targets(offers: Iterable[Offer], target: float | None) -> None:
    """Print what a model version could promise: each risk target with what it accepts, or what its proof lacks.

    Args:
        target: that holds now.
    """
    offers = list(offers)
    if not offers:
        return
    table = Table("risk target", "accepted", "what is known of it", box=None)
    for each in offers:
        risk, coverage = each.guarantee.risk_target or 0.0, each.guarantee.coverage or 0.0
        table.add_row(f"{named(risk)}{' (in force)' if risk == target else ''}", f"{coverage:.0%}", told(each))
    console = Console()
    console.print(table)
    console.print(f"{ALONE} `sortline models target 2%` chooses one.", soft_wrap=True, highlight=False)


def print_forms(serving: str, forms: Iterable[ModelForm]) -> None:
    """Print which form of a model version serves, and what is known of each other one."""
    table = Table("form", "", "what is known of it", box=None)
    for form in forms:
        figures = FormFigures.model_validate(form.figures)
        said = "\n".join(filter(None, [told_of_form(form.name, figures.verdict), figures.int8.sentence]))
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
        repeats = counts.left_out - counts.copies - sum(counts.not_needed.values())
        lines.append(("left out", f"{repeats:,} training texts that nearly repeat held-out texts"))
    if counts.copies:
        lines.append(("copies", f"{counts.copies:,} more left out: they nearly repeat many others of their split"))
    for part, count in counts.not_needed.items():
        lines.append(("sample", f"{count:,} more {part} documents left out: those that are used are enough"))
    if any(counts.foreign.values()):
        unused = counts.foreign.get("foreign", 0)
        held_out, none = sum(counts.foreign.values()) - unused, sum(counts.none_fits.values())
        fit = f"{held_out:,} held out and {unused:,} unused fit no label of the model; people said so of {none:,}"
        lines.append(("foreign", fit))
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
        lines += _detection(test)
        was = "" if test.ece_before is None else f", {test.ece_before:.2%} before"
        lines.append(("calibration", f"ECE {test.ece:.2%} at temperature {figures.temperature:.2f}{was}"))
    if figures.baselines:
        simple = figures.baselines
        lines.append(("for scale", f"TF-IDF {simple.tfidf:.2%}, the most frequent label {simple.majority:.2%}"))
    if figures.fit:
        lines.append(("fit", figures.fit.sentence))
    if figures.guarantee:
        lines.append(("promise", figures.guarantee.sentence))
        if figures.guarantee.about:
            lines.append(("", figures.guarantee.about))
    return lines


def _detection(test: Evaluation) -> list[tuple[str, str]]:
    """How many foreign test documents are accepted."""
    found = test.detection
    if not found or found.share is None:
        return []
    low, high = found.interval or (0.0, 1.0)
    alone = "" if found.auroc_confidence is None else f" (of the confidence alone {found.auroc_confidence:.3f})"
    auroc = (
        "" if found.auroc is None else f"; AUROC of the score {found.auroc:.3f}{alone}, on {found.known:,} known ones"
    )
    share = f"{found.share:.1%} of {found.foreign:,} foreign test documents (95 %: {low:.1%} to {high:.1%})"
    return [("accepted, though foreign", f"{share}{auroc}")]


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
