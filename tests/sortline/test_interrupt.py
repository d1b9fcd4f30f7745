"""Signals to commands that work long."""

import os
import signal

import pytest

from sortline.cli.interrupt import interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_for_a_place_where_nothing_is_half_done(number: signal.Signals) -> None:
    done: list[str] = []
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible() as check:
        check()
        os.kill(os.getpid(), number)
        done.append("what was begun")
        check()
        done.append("what came after it")
    assert done == ["what was begun"]
    assert signal.getsignal(number) == before


def test_a_second_signal_ends_at_once() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("what was begun")
        os.kill(os.getpid(), signal.SIGINT)
        done.append("what came after it")
    assert done == ["what was begun"]
