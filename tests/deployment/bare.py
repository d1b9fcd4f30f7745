"""Processes as OpenShift runs them: a user id that has no name, no HOME, and a file system that can't be written.

Only the data folder and /tmp can. It takes root and Linux's mount namespaces; nothing outside of the namespace changes.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

USER_ID = 1_000_770_000
_NEEDED = {sys.base_prefix, sys.prefix, str(ROOT)}
# $1: private folders, $2: what has to be reached though it lies in one of them, $3: the user id; then the command.
_SCRIPT = """
set -e
mount --make-rprivate /
here=$(mktemp -d)
number=0
for private in $1; do
  for needed in $2; do
    case $needed in $private/*) number=$((number + 1)); mkdir $here/$number; mount --bind $needed $here/$number;; esac
  done
  mount -t tmpfs -o mode=755 tmpfs $private
  number=0
  for needed in $2; do
    case $needed in $private/*)
      number=$((number + 1)); mkdir -p $needed; mount --bind $here/$number $needed
      umount $here/$number; rmdir $here/$number;;
    esac
  done
done
rmdir $here
mount --bind /tmp /tmp
mount -o remount,bind,ro /
for needed in $2; do mount -o remount,bind,ro $needed 2>/dev/null || true; done
user=$3
shift 3
exec setpriv --reuid=$user --regid=0 --clear-groups --no-new-privs "$@"
"""


def missing() -> str:
    """Why processes can't be run so here; empty: they can."""
    if os.getuid() != 0:
        return "needs root, to change the user and to mount"
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        return "needs unshare and setpriv (util-linux)"
    run = subprocess.run(["unshare", "--mount", "mount", "--make-rprivate", "/"], capture_output=True, check=False)
    return "" if run.returncode == 0 else "mount namespaces are not allowed here"


def bare(*command: str) -> list[str]:
    """The command line that runs a command so."""
    private = {str(each) for path in _NEEDED for each in Path(path).parents if not each.stat().st_mode & 0o001}
    topmost = [each for each in sorted(private) if not any(each.startswith(f"{other}/") for other in private)]
    needed = sorted(_NEEDED)
    return [
        "unshare",
        "--mount",
        "sh",
        "-c",
        _SCRIPT,
        "bare",
        "\n".join(topmost),
        "\n".join(needed),
        str(USER_ID),
        *command,
    ]
