"""What people's decisions on a random draw of disagreements show about a form: a bound of the accuracy that it loses.

A student may know what its model does not, so the model's own confidences can't say what a disagreement costs. Only
labels can, and they are needed only where the two differ: of n texts of traffic they differ on d, of these m are drawn
at random, and people decide them without seeing an answer. The form then loses d / n times (lost - gained) / m of
accuracy.

The bound is the likelihood ratio's. The likelihood of these counts has two factors, the binomial one of d of n texts
and the trinomial one of lost, gained and neither of m decisions. Whether a loss t fits them is judged by the largest
likelihood of all shares whose loss is t, over the largest of all; twice the logarithm of that has a chi-square
distribution with one degree of freedom (Wilks, "The large-sample distribution of the likelihood ratio for testing
composite hypotheses", Annals of Mathematical Statistics 9, 1938). How often it errs: docs/decisions/0039-students.md.
"""

from dataclasses import dataclass
from math import log, sqrt

from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

MOST_DRAWN = 150  # disagreements that people are asked to decide

_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Decided:
    """Decisions on disagreements.

    ``texts``: those that both answered; ``differ``: those with two answers; ``drawn``: of these, drawn at random for
    people; ``lost``, ``gained`` and ``neither``: of the decided ones, those for which the model alone, the form alone
    or none of both is right.
    """

    texts: int
    differ: int
    drawn: int
    lost: int = 0
    gained: int = 0
    neither: int = 0

    @property
    def decided(self) -> int:
        return self.lost + self.gained + self.neither

    @property
    def waiting(self) -> int:
        """Drawn ones that nobody has decided yet."""
        return self.drawn - self.decided

    @property
    def mean_loss(self) -> float | None:
        """Accuracy, as a share, that the form loses by these decisions; None: nothing is known."""
        if not self.texts or (self.differ and not self.decided):
            return None
        return self.differ / self.texts * (self.lost - self.gained) / max(1, self.decided)

    def bound(self, alpha: float) -> float:
        """The accuracy that the form loses at most, at confidence 1 - alpha; 1 if nothing is known."""
        if not self.texts:
            return 1.0
        return self._end(self._point(), 1.0, float(norm.ppf(1 - alpha)))

    def least(self, alpha: float) -> float:
        """The accuracy that the form loses at least, at confidence 1 - alpha; below 0 it gains."""
        if not self.texts:
            return -1.0
        return -Decided(self.texts, self.differ, self.drawn, self.gained, self.lost, self.neither).bound(alpha)

    def _point(self) -> float:
        """The loss that fits best; without a decision the largest of those that do."""
        known = self.mean_loss
        return self.differ / self.texts if known is None else known

    def _end(self, start: float, end: float, z: float) -> float:
        best = self._fit_all()

        def beyond(loss: float) -> float:
            return sqrt(max(0.0, 2 * (best - self._fit(loss)))) - z

        start, end = min(max(start, -1 + _EDGE), 1 - _EDGE), end - _EDGE
        return 1.0 if beyond(end) < 0 else float(brentq(beyond, start, end, xtol=1e-7))

    def _fit_all(self) -> float:
        return _terms((self.differ, self.texts), (self.texts - self.differ, self.texts)) + _terms(
            *((count, self.decided) for count in (self.lost, self.gained, self.neither))
        )

    def _fit(self, loss: float) -> float:
        """The largest log-likelihood of all shares whose loss this is."""

        def unfit(share: float) -> float:
            among = loss / share
            lost, gained = self._shares(among)
            return -(
                self.differ * _log(share) + (self.texts - self.differ) * _log(1 - share) + self.lost * _log(lost)
                + self.gained * _log(gained) + self.neither * _log(1 - lost - gained)
            )  # fmt: skip

        found = minimize_scalar(unfit, bounds=(abs(loss) + 1e-12, 1 - 1e-12), method="bounded", options={"xatol": 1e-9})
        return -float(found.fun)

    def _shares(self, among: float) -> tuple[float, float]:
        """The likeliest shares of lost and gained among disagreements if their difference is ``among``.

        With g for the share gained, the log-likelihood is largest where its derivative,
        lost / (g + among) + gained / g - 2 neither / (1 - among - 2 g), is zero: at the larger root of a quadratic.
        """
        low, high = max(0.0, -among), (1 - among) / 2
        if not self.decided:
            return low + among, low
        a = -2.0 * self.decided
        b = (self.lost + self.gained) * (1 - among) - 2 * among * (self.gained + self.neither)
        c = self.gained * among * (1 - among)
        root = sqrt(max(0.0, b * b - 4 * a * c))
        gained = min(max((-b - root) / (2 * a), low), high)
        return gained + among, gained


def _terms(*parts: tuple[int, int]) -> float:
    return sum(count * log(count / whole) for count, whole in parts if count)


def _log(share: float) -> float:
    return log(max(share, 1e-300))
