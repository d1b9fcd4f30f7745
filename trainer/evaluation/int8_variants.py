"""Which variant of int8 goes to the gate: plain int8, or where that is too noisy, one that spares some layers.

The forms that are candidates share the gate's level, so it must not judge several variants. One is chosen before, on
training texts, which the gate never sees, by its distance from the whole model alone.

Noise says how far a variant moves the model's answers: the root mean square change of the lead, which is the logit of
the model's label less that of the runner-up, over the median lead. On training texts it is what it is on others, while
leads, and with them disagreements, are not: a model has seen these texts. docs/decisions/0036-forms.md says how the
limit was found.
"""

from collections.abc import Callable
from math import inf, isfinite, sqrt
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from classifier.figures import Int8Choice, Int8Trial, Int8Variant

Logits = NDArray[np.float32]
T = TypeVar("T")

OTHERS: tuple[Int8Variant, ...] = ("last", "ends", "half")  # from the fastest to the slowest
_ALLOWED = 2.5  # the noise squared, over the margin


class _Tried(NamedTuple, Generic[T]):
    """A variant that was made, and its noise."""

    variant: Int8Variant
    form: T
    noise: float


def most_noise(margin: float) -> float:
    """The noise up to which a form may be proved: of its square, 0.3 was lost at worst.

    Args:
        margin: accuracy, as a share.
    """
    return sqrt(_ALLOWED * margin)


def noise_of(reference: Logits, form: Logits) -> float:
    """How far a form moves the lead of the model's label; infinite if it computes no numbers.

    Args:
        reference: logits (n, labels) of the model itself, of two labels or more.
        form: those of the form.
    """
    rows = np.arange(len(reference))
    second, first = np.argsort(reference, axis=1)[:, -2:].T
    lead, its = (logits[rows, first] - logits[rows, second] for logits in (reference, form))
    noise = float(np.sqrt(np.mean((its - lead) ** 2)) / np.median(lead))
    return noise if isfinite(noise) else inf


def choose(
    plain: T, make: Callable[[Int8Variant], T | None], noise: Callable[[T], float], margin: float
) -> tuple[T, Int8Choice]:
    """The first variant whose noise is within the limit, or else the one with the least; and what was tried.

    Args:
        plain: plain int8.
        make: makes another variant; None if that can't be.
        noise: of a variant, by `noise_of`, on texts that prove nothing.
        margin: accuracy, as a share, that the gate lets a form lose.
    """
    most = most_noise(margin)
    made = [_Tried("plain", plain, noise(plain))]
    for variant in OTHERS:
        if made[-1].noise <= most:
            break
        form = make(variant)
        if form is not None:
            made.append(_Tried(variant, form, noise(form)))
    found = min(made, key=lambda each: each.noise)
    tried = [Int8Trial(variant=each.variant, noise=_stored(each.noise)) for each in made]
    return found.form, Int8Choice(variant=found.variant, noise=_stored(found.noise), most=most, tried=tried)


def _stored(noise: float) -> float | None:
    return noise if isfinite(noise) else None
