"""Locations in the model store: paths on this machine, or any fsspec URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec

from sortline.errors import CheckpointError, SortlineError, TransientError
from sortline.whole_file import write_whole


def local_path(uri: str) -> Path | None:
    """The path of a URI on this machine, such as a ``file://`` URL; None: it is elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(uri) if "://" not in uri else None


@contextmanager
def reached(uri: str) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
    """The file system of a URI and the path on it.

    Raises:
        CheckpointError: the URI is not valid, or its driver (s3fs, gcsfs) is not installed.
        FileNotFoundError: the driver raised it.
        TransientError: the driver raised another error.
    """
    try:
        file_system, path = fsspec.url_to_fs(str(local_path(uri) or uri))  # fsspec does not decode %20 in a file URL
    except (ImportError, ValueError) as error:
        raise CheckpointError(f"model store {uri}: {error}") from None
    try:
        yield file_system, path.rstrip("/")
    except (SortlineError, FileNotFoundError):
        raise
    except Exception as error:  # each driver raises the errors of its service
        raise TransientError(f"model store {uri} can't be used: {type(error).__name__}: {error}") from None


def read_bytes(uri: str, most: int = -1) -> bytes:
    """Read a file, or its first ``most`` bytes; raises the driver's own errors."""
    with fsspec.open(str(local_path(uri) or uri), "rb") as file:
        return bytes(file.read(most))


def write_bytes(uri: str, raw: bytes) -> None:
    """Write a file, atomically if it is on this machine; raises the driver's own errors."""
    path = local_path(uri)
    if path is None:
        with fsspec.open(uri, "wb") as file:
            file.write(raw)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, raw)
