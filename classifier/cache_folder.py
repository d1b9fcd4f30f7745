"""Folders of copies that can be made again: used ones are kept, old ones go."""

import os
import shutil
import time
from pathlib import Path

KEPT = 8
_LEFT_OVER_S = 86_400.0


def touch(entry: Path) -> None:
    """Note that an entry is in use, so that others go first; a cache that can't be written is only read."""
    try:
        os.utime(entry)
    except OSError:
        return


def prune(cache: Path) -> None:
    """Keep the entries used last, and drop what a killed process left half-made a day ago.

    A dropped entry that another process has open stays readable to it; the next one makes it again.
    """
    entries = [(path.stat().st_mtime, path) for path in cache.iterdir() if path.is_dir()]
    whole = sorted((entry for entry in entries if not entry[1].name.startswith(".")), reverse=True)
    half = [entry for entry in entries if entry[1].name.startswith(".")]
    old = [path for used, path in half if time.time() - used > _LEFT_OVER_S]
    for path in [*old, *(path for _, path in whole[KEPT:])]:
        shutil.rmtree(path, ignore_errors=True)
