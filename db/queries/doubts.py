"""Why a document that a model does not accept waits for a person, and its place among those that wait for the same.

**low_fit**: it may fit none of the labels, because its fit is under a half; the least fit comes first. **doubtful**:
any other; the smallest margin comes first. A document that is scored again may change from one to the other.

The functions take names of columns, never values.
"""

LOW = 0.5  # a fit under this
DOUBTS = "('doubtful', 'low_fit')"  # as a list in SQL


def doubt(fit: str) -> str:
    """SQL expression: the reason; a fit of null is not low."""
    return f"CASE WHEN {fit} < {LOW} THEN 'low_fit' ELSE 'doubtful' END"


def doubt_score(fit: str, margin: str) -> str:
    """SQL expression: the score; ``margin``: that of the two likeliest labels."""
    return f"CASE WHEN {fit} < {LOW} THEN {fit} ELSE {margin} END"


def is_low(fit: float | None) -> bool:
    """Whether a document may fit none of the labels; None: the model gives no fit."""
    return fit is not None and fit < LOW
