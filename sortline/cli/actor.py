"""Who calls a command."""

import getpass
import os


def actor() -> str:
    """The name of this process's user; its number where the system knows no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user-{os.getuid()}"
