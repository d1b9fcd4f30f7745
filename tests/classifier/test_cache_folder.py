"""Caches keep what was used last."""

import os
import time
from pathlib import Path

from classifier.cache_folder import KEPT, prune, touch


def test_the_entries_used_last_are_kept(tmp_path: Path) -> None:
    for age in range(KEPT + 2):
        (tmp_path / f"{age}").mkdir()
        os.utime(tmp_path / f"{age}", (time.time() - age, time.time() - age))
    touch(tmp_path / f"{KEPT + 1}")
    prune(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*map(str, range(KEPT - 1)), str(KEPT + 1)}


def test_half_made_entries_go_after_a_day(tmp_path: Path) -> None:
    for name, hours in ((".young.tmp", 1), (".old.tmp", 25)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - 3600 * hours,) * 2)
    prune(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".young.tmp"]
