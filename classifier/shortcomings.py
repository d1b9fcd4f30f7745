"""What a training lacked and what to do about it, as one list for the command line, the web and `status`."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from classifier.figures import A_PERSON_DECIDES, VersionFigures

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
    return [found for check in _CHECKS for found in check(figures, status)]


def _no_test(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    evidence = figures.evidence
    if evidence.enough or (not evidence and figures.snapshot.test != 0):
        return
    said = evidence.sentence or "there are no test documents, so nothing shows how good it is"
    yield Shortcoming(
        "no evidence" if evidence.documents else "no test",
        f"{_capital(said)}. It suggests labels but accepts nothing: every document goes to a person.",
        f"Add {_more(evidence.missing, 'test document')}: decide audits at the desk, or import labelled "
        "documents that were drawn at random (sortline import FILE --split test), then train again.",
    )


def _accepts_nothing(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    unproved = figures.guarantee.unproved
    enough = figures.evidence.enough or not figures.evidence
    if not enough or not unproved or unproved.used:
        return
    yield Shortcoming(
        "nothing accepted",
        f"Nothing is accepted; every document goes to a person: {unproved.sentence}.",
        f"Add {_more(unproved.missing, 'calibration or validation document')}: decide audits at the desk, or "
        "import labelled documents that were drawn at random, then train again.",
    )


def _undecided(figures: VersionFigures, status: str) -> Iterator[Shortcoming]:
    if figures.gate.outcome != "undecided" or status not in ("", "candidate"):
        return
    reason = (figures.gate.reason or "the gate gives no reason").removesuffix(A_PERSON_DECIDES)
    yield Shortcoming(
        "undecided",
        f"The gate could not decide, so it is not live: {reason}.",
        "Look in the report at the documents whose answers became right or wrong. Then promote it (sortline models "
        "promote VERSION, or on the page of models), or leave it. With more test documents the gate can decide.",
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


def _more(count: int | None, what: str) -> str:
    if not count:
        return f"more {what}s"
    return f"about {count:,} more {what}{'s' if count != 1 else ''}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
