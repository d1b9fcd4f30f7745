"""The decisions that a revision of a head may learn from."""

from collections.abc import Sequence

from db.queries.labelled import Labelled
from trainer.data.split import HELD_OUT, LEFT_OUT

_MOST_DECISIONS = 10_000  # the newest ones


def learnable(documents: Sequence[Labelled], usable: set[int]) -> list[Labelled]:
    """The newest decisions that may train; those that may be held out and have no split yet don't."""
    held = {*HELD_OUT, LEFT_OUT}
    may = [
        each for each in documents
        if each.label_id in usable and each.split not in held and not (each.split is None and each.may_be_held_out)
    ]  # fmt: skip
    return may[-_MOST_DECISIONS:]


def newest_review_id(documents: Sequence[Labelled]) -> int:
    """The newest decision on these documents; 0: there are none."""
    return max((max(each.review_ids) for each in documents), default=0)
