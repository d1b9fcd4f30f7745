"""What texts without a label show about a form: how much accuracy it loses against the model itself.

A form answers in a model's place: its int8 quantisation, or a smaller student. Where both give a text the same label,
nothing is lost. Where the model says a and the form says b, the expected loss is P(a) - P(b): the model's calibrated
probabilities tell it, and it lies between 0 and 1, because a is the model's likeliest label.

Whether the mean loss is below a margin is tested by betting (Waudby-Smith and Ramdas, "Estimating means of bounded
random variables by betting", Journal of the Royal Statistical Society B 86, 2024). A capital of 1 is multiplied by
1 + margin - loss for each text. If the mean loss is the margin or more, no text makes it grow on average, so it ever
reaches 1 / alpha with a probability of alpha at most (Ville 1939), however many texts come and however often somebody
looks. docs/decisions/0036-forms.md has the assumptions, and what they can't see.
"""

from dataclasses import dataclass
from math import ceil, log, log1p

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from classifier.calibration import softmax
from sortline.counted import FEW

Logits = NDArray[np.float32]
Losses = NDArray[np.float64]

TEMPERATURE_OFF = 1.5  # the factor by which the model's temperature may be wrong, either way


@dataclass(frozen=True, slots=True)
class FormEvidence:
    """What texts show about a form.

    ``agreement``: share of texts that both give the same label; ``mean_loss``: mean expected loss of accuracy, as a
    share, at the model's temperature; both None without texts. ``loss_bound``: what is lost at most, at confidence
    1 - alpha and at the least favourable temperature; 1 if nothing is known. ``proved``: the loss is shown to be below
    the margin; ``disproved``: it is shown to be above, at every temperature. ``missing``: how many more texts would
    prove it if their losses are like those seen; 0 where it is proved or no number would do.
    """

    texts: int
    agreement: float | None
    mean_loss: float | None
    loss_bound: float
    proved: bool
    disproved: bool
    missing: int


def evidence_of(reference: Logits, form: Logits, temperature: float, margin: float, alpha: float) -> FormEvidence:
    """What the answers of a model and of its form to the same texts show.

    The temperature may be wrong by a factor of `TEMPERATURE_OFF`. Each expected loss falls as the temperature rises
    (see `expected_losses`), so what is proved at the lowest temperature is proved at all others.

    Args:
        reference: uncalibrated logits (n, labels) of the model itself. The texts are exchangeable with those that the
            form is to answer: no training saw them, and neither the answers nor what people decided chose them.
            Repeated texts count once: the caller leaves the others out. Who looks again later adds texts and takes
            none away.
        form: those of the form.
        temperature: that of the model.
        margin: accuracy, as a share, that may be lost; above 0 and below 1.
        alpha: probability of proving a form that loses the margin; where several forms are candidates, the level
            divided by their number, which is fixed before anything is looked at.
    """
    likely, least, most = (
        expected_losses(reference, form, temperature * factor) for factor in (1, TEMPERATURE_OFF, 1 / TEMPERATURE_OFF)
    )
    count, target = len(reference), -log(alpha)
    proved = log_capital(most, margin) >= target
    return FormEvidence(
        texts=count,
        agreement=float(np.mean(reference.argmax(axis=1) == form.argmax(axis=1))) if count else None,
        mean_loss=float(likely.mean()) if count else None,
        loss_bound=loss_bound(most, alpha),
        proved=proved,
        disproved=float(np.log1p(least - margin).sum()) >= target,
        missing=0 if proved else _missing(most, margin, alpha),
    )


def expected_losses(reference: Logits, form: Logits, temperature: float) -> Losses:
    """By text (n,) the accuracy that the form is expected to lose: P(a) - P(b) if it says b where the model says a.

    Never more at a higher temperature T. The derivative of P(a) - P(b) by 1 / T is P(a) (l(a) - m) - P(b) (l(b) - m),
    with the logits l and their mean m under P. As a is the likeliest label, the first term is not negative and not
    below the second one.

    Args:
        reference: uncalibrated logits (n, labels) of the model itself.
        form: those of the form.
        temperature: divides the model's logits; the form's count only for its label.
    """
    said, instead = reference.argmax(axis=1), form.argmax(axis=1)
    differ = np.flatnonzero(said != instead)
    rows = np.arange(len(differ))
    probabilities = softmax(reference[differ], temperature).astype(np.float64)
    lost = np.zeros(len(reference))
    lost[differ] = (probabilities[rows, said[differ]] - probabilities[rows, instead[differ]]).clip(0.0, 1.0)
    return lost


def log_capital(losses: Losses, margin: float) -> float:
    """Logarithm of the capital: the sum of log(1 + margin - loss).

    The whole capital is bet on each text, nearly as much as keeps it from falling below zero, and most where nothing
    is lost. It is the value after the last text: if the largest on the way is above 1 / alpha with a probability of
    alpha at most, so is each single one.
    """
    return float(np.log1p(margin - losses).sum())


def loss_bound(losses: Losses, alpha: float) -> float:
    """The smallest mean loss that is refuted at level alpha; all above it are refuted too. 1 if none is."""
    target = -log(alpha)
    if log_capital(losses, 1.0) < target:
        return 1.0

    def beyond(mean: float) -> float:
        # A loss of 1 leaves a capital of `mean`, whose logarithm must stay finite at 0.
        return log_capital(losses, max(mean, 1e-12)) - target

    return float(brentq(beyond, 0.0, 1.0, xtol=1e-9))


def _missing(losses: Losses, margin: float, alpha: float) -> int:
    """How many more texts bring the capital to 1 / alpha, if it grows as it did.

    With fewer than 20 texts, if nothing is lost.
    """
    growth = log_capital(losses, margin) / len(losses) if len(losses) >= FEW else log1p(margin)
    if growth <= 0:
        return 0
    return max(1, ceil(-log(alpha) / growth) - len(losses))
