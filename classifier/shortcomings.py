"""What a training lacked, in words, and what to do: the same list for the command line, the web and `status`."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from classifier.figures import VersionFigures

_NAMED = 5


class Shortcoming(NamedTuple):
    """``name``: what kind it is; ``said``: what is missing, and what follows from it; ``do``: what to do about it."""

    name: str
    said: str
    do: str


def shortcomings(figures: VersionFigures, status: str = "") -> list[Shortcoming]:
    """What a model version lacks, what matters most first; nothing where its figures don't tell.

    Args:
        figures: of the model version.
        status: of the model version: what still waits for a person depends on it.
    """
    return [found for look in _LOOKS for found in look(figures, status)]


def _no_test(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    evidence = figures.evidence
    if evidence.enough or (not evidence and figures.snapshot.test != 0):
        return
    said = evidence.sentence or "there are no test documents, so nothing shows how good it is"
    yield Shortcoming(
        "no evidence" if evidence.documents else "no test",
        f"{_capital(said)}. It suggests labels and accepts nothing: every document goes to a person.",
        f"Bring {_more(evidence.missing, 'test document')}: decide audits at the desk, or import labelled "
        "documents that were drawn at random (sortline import FILE --split test), then train again.",
    )


def _accepts_nothing(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    unproved = figures.guarantee.unproved
    enough = figures.evidence.enough or not figures.evidence
    if not enough or not unproved or unproved.used:
        return
    yield Shortcoming(
        "nothing accepted",
        f"Nothing is accepted, every document goes to a person: {unproved.sentence}.",
        f"Bring {_more(unproved.missing, 'calibration or validation document')}: decide audits at the desk, or "
        "import labelled documents that were drawn at random, then train again.",
    )


def _undecided(figures: VersionFigures, status: str) -> Iterator[Shortcoming]:
    if figures.gate.outcome != "undecided" or status not in ("", "candidate"):
        return
    reason = (figures.gate.reason or "the gate gives no reason").removesuffix("; a person decides")
    yield Shortcoming(
        "undecided",
        f"The gate could not decide, so it is not live: {reason}.",
        "Look at the documents that turned right or wrong (in the report), then promote it (sortline models promote "
        "VERSION, or on the page of models) or leave it; more test documents let the gate decide.",
    )


def _labels_left_out(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    counts = figures.snapshot
    dropped, untrained = counts.dropped_labels or [], counts.untrained_labels or []
    known = len(figures.test.per_label) or counts.labels or 0
    left_out = sorted({*dropped, *untrained})
    if dropped:
        least = counts.min_examples
        yield Shortcoming(
            "labels left out",
            f"{_labels(dropped, known + len(left_out))} left out for too few examples, so it never gives "
            f"{'them' if len(dropped) != 1 else 'it'}: {_named(dropped)}.",
            "Bring more examples of "
            + ("them" if len(dropped) != 1 else "it")
            + (f" ({least:,} let a new label in, or sortline train --min-examples)" if least else "")
            + ", merge them into others, or archive them.",
        )
    elsewhere = sorted({*untrained} - {*dropped})
    if elsewhere:
        yield Shortcoming(
            "labels untrained",
            f"{_labels(elsewhere, known + len(left_out))} left out because all their documents are held out or left "
            f"out of training: {_named(elsewhere)}.",
            "Bring more examples of them; sortline import FILE --split train says that they train.",
        )


def _splits(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    counts = figures.snapshot
    if counts.validation == 0:
        yield Shortcoming(
            "no validation",
            "No document validates: the last epoch was kept unseen, and its confidences are not calibrated.",
            "Import more labelled documents, or decide audits; a tenth of them validates.",
        )
    for part, documents, what in (("test", counts.test, "tests"), ("validation", counts.validation, "validates")):
        missing = counts.missing_labels.get(part, [])
        if missing and documents:
            total = counts.labels or len(missing)
            yield Shortcoming(
                f"labels missing in {part}",
                f"{_labels(missing, total, 'have' if len(missing) != 1 else 'has')} no document that {what}, so "
                f"nothing is known of {'them' if len(missing) != 1 else 'it'} there: {_named(missing)}.",
                f"Bring more examples, or some with sortline import FILE --split {part}.",
            )


def _few_examples(figures: VersionFigures, _status: str) -> Iterator[Shortcoming]:
    counts = figures.snapshot
    few = counts.few_examples or []
    if few:
        least = counts.min_examples
        than = f"fewer than {least:,}" if least else "few"
        yield Shortcoming(
            "few examples",
            f"{_labels(few, counts.labels or len(few), 'have' if len(few) != 1 else 'has')} {than} examples to "
            f"train on and {'are' if len(few) != 1 else 'is'} known badly: {_named(few)}.",
            "Bring more examples.",
        )


_LOOKS: Sequence[Callable[[VersionFigures, str], Iterator[Shortcoming]]] = (
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


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED:,} more" if len(names) > _NAMED else shown


def _more(count: int | None, what: str) -> str:
    if not count:
        return f"more {what}s"
    return f"about {count:,} more {what}{'s' if count != 1 else ''}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
