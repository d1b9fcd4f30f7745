"""Search the bytes of every file that this installation keeps on this machine."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from classifier.store_uri import local_path


def find_bytes(wanted: bytes, data_dir: Path, models: str) -> list[Path]:
    """The files that contain these bytes: servers' data, model store, work and run files.

    A text that is stored compressed (in Postgres, over 2 kB) is not found; random characters are not compressed.

    Args:
        models: folder or URL of the model store.
    """
    return sorted(path for path in _files(data_dir, models) if _holds(path, wanted))


def _files(data_dir: Path, models: str) -> Iterator[Path]:
    roots = [data_dir]
    store = local_path(models)
    if store is not None:
        roots.append(store)
    seen: set[Path] = set()
    for root in roots:
        for folder, _, names in os.walk(root, followlinks=True):  # as root, Postgres' data folder is a link
            for name in names:
                path = (Path(folder) / name).resolve()
                if path.is_file() and path not in seen:
                    seen.add(path)
                    yield path


def _holds(path: Path, wanted: bytes) -> bool:
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return content.find(wanted) >= 0
    except FileNotFoundError:
        return False  # removed in the meantime
