"""What a training lacked and what to do about it, as one list for the command line, the web and `status`."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from classifier.figures import A_PERSON_DECIDES, FormVerdict, VersionFigures
from classifier.risk_targets import best_proved, named
from sortline.counted import counted, more_of

_NAMED = 5


class Shortcoming(NamedTuple):
    """``name``: its kind; ``said``: what is missing and what follows from it; ``do``: what to do about it."""

    name: str
    said: str
    do: str


def shortcomings(figures: VersionFigures, status: str = "") -> list[Shortcoming]:
    """What a model version lacks, most important first, as far as its figures say.

    Args:
        figures: figures of the model version.
        status: status of the model version; on it depends what still needs a person.
    """
    if figures.starter:
        return list(_starter(figures))
    return [found for check in _CHECKS for found in check(figures, status)]


def told_of_form(name: str, verdict: FormVerdict) -> str:
    """What is known of a form, in words: for one that is not proved, what it lacks."""
    return verdict.reason or ("the model as it was trained" if name == "whole" else "nothing is recorded")


def _starter(figures: VersionFigures) -> Iterator[Shortcoming]:
    starter = figures.starter
    right = "" if starter.right is None else f", {starter.right:.0%} of which it would have answered right"
    yield Shortcoming(
        "starter",
        f"This is a starter: a model made of the labels' names, guidelines and examples and of "
        f"{counted(starter.learnt or 0, 'decision')}{right}. It suggests labels and accepts nothing.",
        "Decide documents at the desk: it learns from them. With 100 decisions, and 8 for each of two labels, a first "
        "training starts by itself. A guideline and example texts on a label's page help it too.",
    )


def _no_test(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    evidence = figures.evidence
    if evidence.enough or (not evidence and figures.snapshot.test != 0):
        return
    said = evidence.sentence or "there are no test documents, so nothing shows how good it is"
    yield Shortcoming(
        "no evidence" if evidence.documents else "no test",
        f"{_capital(said)}. It suggests labels but accepts nothing: every document goes to a person.",
        f"Add {_more(evidence.missing, evidence.documents, 'test document')}: decide audits at the desk, or import "
        "labelled documents that were drawn at random (sortline import FILE --split test), then train again.",
    )


def _accepts_nothing(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    guarantee, unproved, counts = figures.guarantee, figures.guarantee.unproved, figures.snapshot
    seen = unproved.documents
    if seen is None:  # of a version from before it was noted
        seen = (counts.validation or 0) + (counts.calibration or 0)
    enough = figures.evidence.enough or not figures.evidence
    if not enough or guarantee.proved or not unproved or unproved.used:
        return
    target = "" if guarantee.risk_target is None else f"at most {named(guarantee.risk_target)} of the accepted "
    why = f"; {unproved.sentence}" if unproved.sentence else ""
    best, missing = best_proved(figures.offers), unproved.missing or guarantee.missing
    document = "calibration or validation document" if unproved.missing else "calibration document"
    choose = (
        f"Choose a target that is proved, on the page of models or with sortline models target: "
        f"{named(best.guarantee.risk_target or 1.0)} accepts {100 * (best.guarantee.coverage or 0.0):.0f} %. Or add"
        if best
        else "Add"
    )
    yield Shortcoming(
        "nothing accepted",
        f"Nothing is accepted; every document goes to a person: nothing proves that {target or 'few of the accepted '}"
        f"would be wrong{why}.",
        f"{choose} {_more(missing, seen, document)}: decide audits at the desk, or import labelled documents "
        "that were drawn at random, then train again.",
    )


def _undecided(figures: VersionFigures, status: str) -> Iterator[Shortcoming]:
    if figures.gate.outcome != "undecided" or status not in ("", "candidate"):
        return
    reason = (figures.gate.reason or "the gate gives no reason").removesuffix(A_PERSON_DECIDES)
    yield Shortcoming(
        "undecided",
        f"The gate could not decide, so it is not live: {reason}.",
        "Look in the report at the documents whose answers became right or wrong. Then promote it (sortline models "
        "promote VERSION, or on the page of models), or leave it. With more decided audits, or imported test "
        "documents, the gate can decide.",
    )


def _labels_left_out(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    counts = figures.snapshot
    dropped, untrained = counts.dropped_labels or [], counts.untrained_labels or []
    known = len(figures.test.per_label) or counts.labels or 0
    left_out = sorted({*dropped, *untrained})
    if dropped:
        least = counts.min_examples
        needed = f" (a new label needs {least:,}; sortline train --min-examples changes that)" if least else ""
        yield Shortcoming(
            "labels left out",
            f"{_labels(dropped, known + len(left_out))} left out for too few examples, so the model never predicts "
            f"{_them(dropped)}: {_named(dropped)}.",
            f"Add more examples of {_them(dropped)}{needed}, or merge {_them(dropped)} into other labels, or archive "
            f"{_them(dropped)}.",
        )
    elsewhere = sorted({*untrained} - {*dropped})
    if elsewhere:
        yield Shortcoming(
            "labels untrained",
            f"{_labels(elsewhere, known + len(left_out))} left out because every document of {_them(elsewhere)} "
            f"is held out or left out of training: {_named(elsewhere)}.",
            f"Add more examples of {_them(elsewhere)}; sortline import FILE --split train uses them for training.",
        )


def _splits(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    counts = figures.snapshot
    if counts.validation == 0:
        yield Shortcoming(
            "no validation",
            "There are no validation documents: the last epoch was kept unchecked, and confidences are not calibrated.",
            "Import more labelled documents, or decide audits; a tenth of them is used for validation.",
        )
    for part, documents in (("test", counts.test), ("validation", counts.validation)):
        missing = counts.missing_labels.get(part, [])
        if missing and documents:
            total = counts.labels or len(missing)
            yield Shortcoming(
                f"labels missing in {part}",
                f"{_labels(missing, total, 'have' if len(missing) != 1 else 'has')} no {part} documents, so "
                f"the {part} says nothing about {_them(missing)}: {_named(missing)}.",
                f"Add more examples, or some with sortline import FILE --split {part}.",
            )


def _few_examples(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    counts = figures.snapshot
    few = counts.few_examples or []
    if few:
        least = counts.min_examples
        than = f"fewer than {least:,}" if least else "only a few"
        yield Shortcoming(
            "few examples",
            f"{_labels(few, counts.labels or len(few), 'have' if len(few) != 1 else 'has')} {than} examples to "
            f"train on, so the model knows {_them(few)} badly: {_named(few)}.",
            "Add more examples.",
        )


_CHECKS: Sequence[Callable[[VersionFigures, str], Iterator[Shortcoming]]] = (
    _no_test,
    _accepts_nothing,
    _undecided,
    _labels_left_out,
    _splits,
    _few_examples,
)


def _labels(names: Sequence[str], total: int, verb: str = "") -> str:
    """``3 of 12 labels are``"""
    total = max(total, len(names))
    return f"{len(names):,} of {total:,} label{'s' if total != 1 else ''} {verb or _be(names)}"


def _be(names: Sequence[str]) -> str:
    return "are" if len(names) != 1 else "is"


def _them(names: Sequence[str]) -> str:
    return "them" if len(names) != 1 else "it"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED:,} more" if len(names) > _NAMED else shown


def _more(count: int | None, seen: int, what: str) -> str:
    return more_of(count, seen, what) if count else f"more {what}s"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
