"""Caches of copies that can be made again: recently used entries are kept, old ones are removed."""

import os
import shutil
import time
from pathlib import Path

KEPT = 8
_LEFT_OVER_S = 86_400.0


def touch(entry: Path) -> None:
    """Mark an entry as used, so that others are removed first; does nothing in a cache that is read-only."""
    try:
        os.utime(entry)
    except OSError:
        return


def prune(cache: Path) -> None:
    """Keep the last used entries, and remove others and half-made ones that a killed process left over a day ago.

    A process that has a removed entry open can still read it; the next process makes it again.
    """
    entries = [(path.stat().st_mtime, path) for path in cache.iterdir() if path.is_dir()]
    whole = sorted((entry for entry in entries if not entry[1].name.startswith(".")), reverse=True)
    half = [entry for entry in entries if entry[1].name.startswith(".")]
    old = [path for used, path in half if time.time() - used > _LEFT_OVER_S]
    for path in [*old, *(path for _, path in whole[KEPT:])]:
        shutil.rmtree(path, ignore_errors=True)
