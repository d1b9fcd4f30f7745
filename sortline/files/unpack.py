"""Gzip and zip: the one file inside is unpacked to a temporary folder."""

import gzip
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from sortline.errors import ImportFileError
from sortline.files.budget import AMPLE
from sortline.files.kinds import Kind, sniff

_PIECE = 2**20
_HIDDEN = ("__MACOSX/", ".")
_OF_WINDOWS = ("thumbs.db", "desktop.ini")


class Unpacked(NamedTuple):
    """The file to read: the given one, or what was packed in it. ``kind`` is None for text."""

    path: Path
    name: str
    kind: Kind | None
    packed: str


@contextmanager
def unpacked(path: Path, most: int = AMPLE.bytes) -> Iterator[Unpacked]:
    """The file, or the one file inside it.

    Args:
        most: most bytes that it may unpack to.

    Raises:
        ImportFileError: it can't be read, holds no file or several, needs a password, or unpacks to more than
            ``most``.
    """
    found = sniff(path)
    if not found.packed:
        yield Unpacked(path, path.name, found.kind, "")
        return
    with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
        inner = Path(folder) / "file"
        try:
            name = (_gunzip if found.packed == "gzip" else _unzip)(path, inner, most)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
            raise ImportFileError(f"{path} can't be unpacked: {error}") from None
        try:
            again = sniff(inner)
        except ImportFileError as error:
            raise ImportFileError(str(error).replace(str(inner), f"{path} ({name})")) from None
        if again.packed:
            raise ImportFileError(f"{path} holds another packed file ({name}); unpack it and give one file of it")
        yield Unpacked(inner, name, again.kind, found.packed)


def _gunzip(path: Path, inner: Path, most: int) -> str:
    with gzip.open(path, "rb") as source:
        _copy(source, inner, most, path)
    return path.name.removesuffix(".gz")


def _unzip(path: Path, inner: Path, most: int) -> str:
    with zipfile.ZipFile(path) as archive:
        files = [each for each in archive.infolist() if not each.is_dir() and not _is_hidden(each.filename)]
        if len(files) != 1:
            names = ", ".join(each.filename for each in files[:5])
            held = f"{len(files)} files ({names}{', ...' if len(files) > 5 else ''})" if files else "no file"
            raise ImportFileError(f"{path} is a zip archive with {held}; unpack it and give one file at a time")
        if files[0].flag_bits & 1:
            raise ImportFileError(f"{path} is a zip archive with a password; unpack it first")
        with archive.open(files[0]) as source:
            _copy(source, inner, most, path)
    return Path(files[0].filename).name


def _is_hidden(name: str) -> bool:
    own = Path(name).name
    return name.startswith(_HIDDEN) or own.startswith(".") or own.casefold() in _OF_WINDOWS


def _copy(source: gzip.GzipFile | IO[bytes], inner: Path, most: int, path: Path) -> None:
    """Unpack up to a limit: a small archive can unpack to more than any disk holds."""
    left = most
    with inner.open("wb") as target:
        while piece := source.read(_PIECE):
            left -= len(piece)
            if left < 0:
                raise ImportFileError(f"{path} unpacks to more than {most:,} bytes; unpack it and give the file")
            target.write(piece)
