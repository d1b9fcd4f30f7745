"""A home and a user name for a process that has none, so that libraries find a place to write to.

In a container with an arbitrary user id (as in OpenShift) the id has no name, HOME is unset or `/`, and the file
system is read-only except the data folder and the temporary folder. OpenVINO, matplotlib, torch and Hugging Face look
for a home as soon as they are imported, and some fail without one.
"""

import getpass
import os
import tempfile
from pathlib import Path

from sortline.errors import ConfigurationError

# What each library stores under the home, and the variable that moves it elsewhere.
_CACHES = {
    "HF_HOME": ".cache/huggingface",
    "MPLCONFIGDIR": ".config/matplotlib",
    "TORCHINDUCTOR_CACHE_DIR": ".cache/torchinductor",
    "TRITON_CACHE_DIR": ".triton/cache",
}


def make_home(data_dir: Path) -> None:
    """Give this process, and those it starts, a home and a name if they have none.

    A home that exists but can't be written stays: it may hold certificates or models. Only what libraries would write
    goes elsewhere.

    Raises:
        ConfigurationError: no place can be written.
    """
    if account() == _numbered():
        os.environ.setdefault("LOGNAME", _numbered())  # getpass, and so torch, looks here first
    home = Path("~").expanduser() if _is_known() else None
    if home is not None and _is_writable(home):
        return
    place = _place(data_dir)
    if home is None or not home.is_dir() or home == Path("/"):
        os.environ["HOME"] = str(place)
        return
    for variable, inside in _CACHES.items():
        if not (home / inside).is_dir():
            os.environ.setdefault(variable, str(place / inside))


def account() -> str:
    """The account that runs this process: its name, or the user id if it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return _numbered()


def _numbered() -> str:
    return f"uid-{os.getuid()}"


def _is_known() -> bool:
    """Whether `~` means anything here."""
    try:
        Path("~").expanduser()
    except RuntimeError:
        return False
    return True


def _place(data_dir: Path) -> Path:
    """A folder that only this user can open: in the data folder if that exists, else among the temporary files."""
    tried = []
    for folder, name in ((data_dir.resolve(), "home"), (_temporary(), f"sortline-home-{os.getuid()}")):
        if folder is None or not folder.is_dir():
            continue
        place = folder / name
        tried.append(str(folder))
        try:
            place.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            continue
        if not place.is_symlink() and place.stat().st_uid == os.getuid() and _is_writable(place):
            return place
    raise ConfigurationError(
        f"user id {os.getuid()} has no home and can't write to {' or '.join(tried) or 'any temporary folder'}; "
        "set HOME, TMPDIR or SORTLINE_DATA_DIR to a folder that it can write to"
    )


def _temporary() -> Path | None:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return None


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
