"""Folders in which runs keep what they need to go on after a crash."""

import shutil
from collections.abc import Collection
from pathlib import Path

from sortline.settings import Settings


def work_folder(settings: Settings, run_id: int) -> Path:
    """The folder of a run: its fine-tuning's state, and drafts."""
    return settings.data_dir.resolve() / "trainer" / f"run-{run_id}"


def remove_work(settings: Settings, open_runs: Collection[int]) -> None:
    """Remove the folders of runs that have ended."""
    for folder in work_folder(settings, 0).parent.glob("run-*"):
        number = folder.name.removeprefix("run-")
        if number.isdigit() and int(number) not in open_runs:
            shutil.rmtree(folder, ignore_errors=True)
