"""The folders in which training runs keep what they need to go on after a crash."""

import shutil
import time
from pathlib import Path

from sortline.settings import Settings

_DAY_S = 24 * 3600


def work_folder(settings: Settings, run_id: int) -> Path:
    """The folder of a run: its fine-tuning's state, and drafts."""
    return settings.data_dir.resolve() / "trainer" / f"run-{run_id}"


def remove_work(settings: Settings, newest: int, unfinished: int | None) -> None:
    """Remove the folders of runs that have ended, and those that a killed tuning left a day ago.

    Args:
        newest: id of the newest run when ``unfinished`` was looked up: a later one may have begun since.
    """
    for folder in work_folder(settings, 0).parent.glob("tuning-*"):
        if time.time() - folder.stat().st_mtime > _DAY_S:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in work_folder(settings, 0).parent.glob("run-*"):
        number = folder.name.removeprefix("run-")
        if number.isdigit() and int(number) <= newest and int(number) != unfinished:
            shutil.rmtree(folder, ignore_errors=True)
