"""numpy multiplies our small matrices with one thread: the engine, or torch, has the cores."""

import os
import subprocess
import sys

import pytest

# As `python -m celery -A worker` loads it.
_SAYS = """
import celery.bin.celery, sys
assert "numpy" not in sys.modules
import {package}, numpy
from threadpoolctl import threadpool_info
print(*(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"))
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread anyway")
@pytest.mark.parametrize("package", ["worker", "trainer", "housekeeping", "web"])
@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("2", "2")])
def test_a_process_has_one_thread_for_them_unless_it_is_told_otherwise(
    package: str, given: str | None, used: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    named = {} if given is None else {"OPENBLAS_NUM_THREADS": given}
    run = subprocess.run(
        [sys.executable, "-c", _SAYS.format(package=package)],
        env=kept | named,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [used]
