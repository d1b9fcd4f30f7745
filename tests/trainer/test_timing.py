"""How long two classifiers take is compared fairly on a busy machine."""

import time
from typing import Any

import pytest

from trainer.evaluation.gate import SLOWER
from trainer.evaluation.timing import milliseconds


class Disturbed:
    """Takes a millisecond for a call, four for its first ``calls``: a moment that is busy for it alone."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def logits(self, _: Any) -> None:
        end = time.perf_counter() + (0.004 if self._left > 0 else 0.001)
        self._left -= 1
        while time.perf_counter() < end:
            pass


@pytest.mark.parametrize(("calls", "is_slower"), [(150, False), (10**6, True)])
def test_a_moment_that_is_busy_for_one_of_them_alone_refuses_nobody(calls: int, is_slower: bool) -> None:
    candidate, active = milliseconds([Disturbed(calls), Disturbed(0)], ["a text"], suspicious=SLOWER)  # type: ignore[list-item]

    assert (candidate > SLOWER * active) == is_slower
