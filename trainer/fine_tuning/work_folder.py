"""The folders in which training runs keep what they need to continue after a crash."""

import shutil
import time
from pathlib import Path

_DAY_S = 24 * 3600


def trainings_folder(data_dir: Path) -> Path:
    """The folder of all that trainings and tunings keep while they run."""
    return data_dir.resolve() / "trainer"


def work_folder(data_dir: Path, run_id: int) -> Path:
    """The folder of a run: its fine-tuning's state, and drafts."""
    return trainings_folder(data_dir) / f"run-{run_id}"


def remove_work(data_dir: Path, newest: int, unfinished: int | None) -> None:
    """Remove the folders of runs that have ended, and those that a killed process left a day ago.

    Args:
        newest: id of the newest run when ``unfinished`` was looked up: a later one may have begun since.
    """
    for left in ("tuning-*", "forms-*"):
        for folder in trainings_folder(data_dir).glob(left):
            if time.time() - folder.stat().st_mtime > _DAY_S:
                shutil.rmtree(folder, ignore_errors=True)
    for folder in trainings_folder(data_dir).glob("run-*"):
        number = folder.name.removeprefix("run-")
        if number.isdigit() and int(number) <= newest and int(number) != unfinished:
            shutil.rmtree(folder, ignore_errors=True)
