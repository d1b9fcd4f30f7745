"""How alike two texts are: the overlap of their 4-character shingles (Jaccard)."""

from classifier.cleaning import Cleaning

NEAR = 0.8  # from this similarity on, texts are near-duplicates
SHINGLE = 4
tidy = Cleaning("NFKC")


def normal(text: str) -> str:
    """The form in which texts are compared: normal form, lower case, single spaces."""
    return tidy(text).lower()


def shingles(text: str) -> frozenset[str]:
    """The 4-character shingles of a text in the form that `normal` gives it."""
    plain = normal(text)
    return frozenset(plain[i : i + SHINGLE] for i in range(max(1, len(plain) - SHINGLE + 1)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """The Jaccard similarity of two sets, 0 to 1; neither may be empty."""
    common = len(left & right)
    return common / (len(left) + len(right) - common)
