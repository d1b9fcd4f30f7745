"""Figures of a form: its verdict, and which variant of int8 it is."""

from typing import Literal

from classifier.figures.record import Part, Record


class FormVerdict(Part):
    """Whether a form of a model serves and why, with its gate's figures (`trainer.evaluation.engine_gate`).

    ``outcome``: "proved", "unproved" or "refused"; None: nothing was judged, or an older version did not say.
    ``texts``: those that both forms answered, with and without a label; ``agreement``: share with the same label;
    ``mean_loss``: accuracy that the form is expected to lose on them; ``loss_bound``: what it loses at most, at
    confidence 1 - ``alpha``; ``missing``: further texts that could prove it, 0 if none could. ``documents``: labelled
    ones, to which accuracies and ECEs belong; ``accuracy_quantised`` and ``ece_quantised`` are those of the form.
    ``speedup``: milliseconds a document of the engine ``otherwise``, which would serve in its place, over those of the
    form. For a student: of the texts on which it and the model ``differ``, people were asked to decide the ``drawn``
    ones; of the ``decided`` ones the model alone is right in ``lost``, the student alone in ``gained``; ``missing`` are
    decisions; ``layers`` are those that it has besides the last one. Older versions have ``agreement_documents`` for
    ``texts``, and their bound rests on labelled documents alone.
    """

    served: bool = False
    outcome: str | None = None
    reason: str = ""
    texts: int | None = None
    agreement: float | None = None
    agreement_documents: int | None = None
    accuracy_reference: float | None = None
    accuracy_quantised: float | None = None
    mean_loss: float | None = None
    loss_bound: float | None = None
    missing: int | None = None
    differ: int | None = None
    drawn: int | None = None
    decided: int | None = None
    lost: int | None = None
    gained: int | None = None
    layers: int | None = None
    ece_reference: float | None = None
    ece_quantised: float | None = None
    documents: int | None = None
    margin: float | None = None
    alpha: float | None = None
    otherwise: str | None = None
    speedup: float | None = None


Int8Variant = Literal["plain", "last", "ends", "half"]
_BUT_FOR: dict[Int8Variant, str] = {
    "last": "its last layer",
    "ends": "its first and its last layer",
    "half": "the second half of its layers",
}


def int8_in_words(variant: Int8Variant) -> str:
    """A variant of int8, by what is left out of it."""
    return f"int8 but for {_BUT_FOR[variant]}" if variant in _BUT_FOR else "plain int8"


class Int8Trial(Record):
    """A variant of int8 that was made, and its noise; None: it computes no numbers."""

    variant: Int8Variant
    noise: float | None


class Int8Choice(Part):
    """Which variant of int8 a form is, chosen by ``noise``, which ``most`` limits (`trainer.evaluation.int8_variants`).

    ``tried``: all that were made, plain int8 first; where that is quiet enough, nothing else is.
    """

    variant: Int8Variant = "plain"
    noise: float | None = None
    most: float | None = None
    tried: list[Int8Trial] = []

    @property
    def sentence(self) -> str:
        """Why it is not plain int8 that is quiet enough, in words; empty: it is."""
        if len(self.tried) < 2 or self.most is None:
            return ""
        limit, noise, plain = (f"{each:.2f}" if each is not None else "unknown"
                               for each in (self.most, self.noise, self.tried[0].noise))  # fmt: skip
        what = int8_in_words(self.variant).capitalize()
        if self.noise is None or self.noise > self.most:
            return (
                f"{what}: of {len(self.tried)} variants that were tried the closest to the whole model, but too far "
                f"from it (noise {noise}, and {limit} is the limit)."
            )
        return (
            f"{what}: plain int8 was too far from the whole model (noise {plain}, and {limit} is the limit; "
            f"now {noise})."
        )
