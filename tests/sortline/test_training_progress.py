"""What people are told of a training that runs."""

from typing import Any

import pytest

from sortline.training_progress import duration, plan, said, share


@pytest.mark.parametrize(
    ("progress", "words", "part", "planned"),
    [
        ({}, "starting", None, ""),
        ({"stage": "writing the snapshot"}, "writing the snapshot", None, ""),
        ({"stage": "tokenising", "done": 5000, "of": 20_000}, "tokenising, 5,000 of 20,000", (5000, 20_000), ""),
        (
            {"stage": "fine-tuning", "step": 40, "steps": 93_750, "epoch": 1, "epochs": 3, "loss": 1, "left_s": 18_600},
            "fine-tuning, step 40 of 93,750",
            (40, 93_750),
            "3 epochs of 31,250 steps; about 5 h 10 min left",
        ),
        (
            {"stage": "validating epoch 1 of 3", "done": 500, "of": 900, "step": 3, "steps": 9, "epochs": 3,
             "left_s": 100},
            "validating epoch 1 of 3, 500 of 900",
            (500, 900),
            "3 epochs of 3 steps; about 2 min left",
        ),
        (
            {"stage": "fine-tuning", "step": 1, "steps": 7, "epochs": 1},
            "fine-tuning, step 1 of 7",
            (1, 7),
            "1 epoch of 7 steps; how long it takes is not known yet",
        ),
        ({"stage": "fine-tuning", "step": 3, "steps": 9, "left_s": 40}, "fine-tuning, step 3 of 9", (3, 9),
         "about 40 s left"),  # by a trainer of before
    ],
)  # fmt: skip
def test_a_stage_says_how_far_it_is(
    progress: dict[str, Any], words: str, part: tuple[int, int] | None, planned: str
) -> None:
    assert (said(progress), share(progress), plan(progress)) == (words, part, planned)


def test_durations_are_short() -> None:
    assert [duration(each) for each in (3.2, 89, 90, 600, 5340, 5400, 18_600)] == [
        "3 s", "89 s", "2 min", "10 min", "89 min", "1 h 30 min", "5 h 10 min",
    ]  # fmt: skip
