"""The manifest of a backup: what it contains, and the sha256 of each part. It is written last and makes it complete."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sortline.errors import BackupError
from sortline.whole_file import file_sha256, write_whole

_NAME = "manifest.json"
_FORM = 1


@dataclass(frozen=True)
class Manifest:
    """What a backup contains, and what it was made with.

    ``schema``: revision of the database; ``postgres``, ``pg_dump``: major versions; ``models``: where the model store
    was; ``counts``: how many entries and files; ``damaged``: model versions whose checkpoint was not intact;
    ``parts``: sha256 of each file, by its path.
    """

    sortline: str
    schema: str
    made_at: str
    postgres: int
    pg_dump: int
    redis: str
    models: str
    counts: dict[str, int]
    damaged: list[int] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Seal a backup."""
    raw = json.dumps({"form": _FORM, **asdict(manifest)}, indent=1).encode()
    write_whole(folder / _NAME, raw)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup whose parts are all there and unchanged.

    Raises:
        BackupError: there is no backup, it is incomplete, or a part was changed.
    """
    try:
        fields: dict[str, Any] = json.loads((folder / _NAME).read_bytes())
        if fields.pop("form") != _FORM:
            raise BackupError(f"{folder} was written by a newer Sortline")
        manifest = Manifest(**fields)
    except FileNotFoundError:
        raise BackupError(f"{folder} is not a complete backup: {_NAME} is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{folder / _NAME} can't be read: {error}") from None
    for name, sha256 in manifest.parts.items():
        try:
            found = file_sha256(folder / name)
        except OSError as error:
            raise BackupError(f"the backup is incomplete: {name}: {error.strerror}") from None
        if found != sha256:
            raise BackupError(f"the backup is damaged: {name} has changed since it was written")
    return manifest
