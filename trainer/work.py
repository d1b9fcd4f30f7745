"""What runs keep on disk to go on after a crash: folders, and files that are there whole or not at all."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

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


def write_whole(path: Path, raw: bytes) -> None:
    """Write a file under another name, flush it to disk, rename it."""
    with whole_file(path) as file:
        file.write(raw)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, under another name; flushed to disk and renamed at the end, removed if the block fails."""
    partial = path.with_name(f".{path.name}.tmp")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
