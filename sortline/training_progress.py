"""What a training does and how far it is, in words: the same on the command line and in the web."""

from collections.abc import Mapping
from typing import Any

PREPARING = "preparing the model for this machine's engine"
TOLD_FROM = 30  # steps, after which their mean time says how long the others will take


def said(progress: Mapping[str, Any]) -> str:
    """The stage and how far it is: `fine-tuning, step 3 of 1,000`, `tokenising, 5,000 of 20,000`.

    Args:
        progress: of a run, as `trainer.lease` reports it: ``stage``; with it ``step``, ``steps``, ``epoch``,
            ``epochs``, ``loss`` and ``left_s`` (seconds) while it fine-tunes, and ``done`` and ``of`` where a stage
            can be counted: in documents, or in passes over them.
    """
    stage = str(progress.get("stage", "starting"))
    if "of" in progress:
        return f"{stage}, {progress['done']:,} of {progress['of']:,}"
    if "steps" in progress:
        return f"{stage}, step {progress['step']:,} of {progress['steps']:,}"
    return stage


def share(progress: Mapping[str, Any]) -> tuple[int, int] | None:
    """How much of the stage is done, and of how much; None: it does not say."""
    if "of" in progress:
        return int(progress["done"]), int(progress["of"])
    return (int(progress["step"]), int(progress["steps"])) if "steps" in progress else None


def plan(progress: Mapping[str, Any]) -> str:
    """How long the fine-tuning takes yet: `3 epochs of 31,250 steps; about 5 h 10 min left`; empty: it does not run."""
    if "steps" not in progress:
        return ""
    left = progress.get("left_s")
    time = "how long it takes is not known yet" if left is None else f"about {duration(left)} left"
    return f"{work(progress['steps'], progress['epochs'])}; {time}" if progress.get("epochs") else time


def work(steps: int, epochs: int) -> str:
    """The work of a fine-tuning: `3 epochs of 31,250 steps`."""
    each = f"{-(-steps // epochs):,} steps"
    return f"{epochs} epochs of {each}" if epochs > 1 else f"1 epoch of {each}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `5 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
