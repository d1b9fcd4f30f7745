"""A process that begins as a copy (tests/loaded.py) is what one would be that a user starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests import loaded

_SEEN = """
import atexit, os, signal, sys, threading, time
print(sys.argv, sys.stdin.read(), os.getcwd(), sorted(os.environ.items()), sys.path[:2], __name__)
print(os.listdir("/proc/self/task") == [str(os.getpid())], sorted(os.listdir("/proc/self/fd"))[:3], os.umask(0))
print([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)])
import celery._state, celery.signals, prometheus_client, sortline.settings
print(sorted(prometheus_client.REGISTRY._names_to_collectors), [*celery._state._apps], celery._state._tls.__dict__)
print({name: signal.receivers for name, signal in vars(celery.signals).items() if getattr(signal, "receivers", None)})
print(sortline.settings.get_settings.cache_info())
import logging, numpy, random
print(logging.getLogger().handlers, logging.getLogger().level)
print("draw", random.random(), numpy.random.random())
atexit.register(print, "the end")
threading.Thread(target=lambda: (time.sleep(0.2), print("the thread"))).start()
"""


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Writes the module `seen`; returns an environment in which it is found."""

    def module(text: str) -> dict[str, str]:
        (tmp_path / "seen.py").write_text(text)
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "PYTHONPATH": f"{tmp_path}:{loaded.ROOT}", "LC_CTYPE": "C.UTF-8"}

    return module


@contextmanager
def on_sigint(what: signal.Handlers | Callable[..., object]) -> Iterator[None]:
    """In the block, SIGINT does this here; a process started meanwhile ignores it if we do, as after `nohup`."""
    before = signal.signal(signal.SIGINT, what)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("ours", [signal.default_int_handler, signal.SIG_IGN], ids=["terminal", "background"])
def test_a_copy_finds_what_a_process_of_a_terminal_finds(
    ours: signal.Handlers | Callable[..., object], module: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    environment, command = module(_SEEN), ["-m", "seen", "an argument"]

    with on_sigint(ours):
        copied = [loaded.run(command, tmp_path, environment, "told") for _ in range(2)]
    with on_sigint(signal.default_int_handler):
        real = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, input="told", capture_output=True, text=True
        )

    drawn = [[line for line in each.stdout.splitlines() if "draw" in line] for each in (*copied, real)]
    for each in copied:
        assert [line for line in each.stdout.splitlines() if "draw" not in line] == [
            line for line in real.stdout.splitlines() if "draw" not in line
        ]
        assert (each.returncode, each.stderr) == (real.returncode, real.stderr)
    assert drawn[0] != drawn[1]
    assert real.stdout.endswith("the thread\nthe end\n")


@pytest.mark.parametrize(
    "end",
    ["pass", "exit('a word')", "exit(3)", "1 / 0", "import os; os.kill(os.getpid(), 9)", "import os; os._exit(7)"],
)
def test_a_copy_ends_as_a_process_ends(end: str, module: Callable[[str], dict[str, str]], tmp_path: Path) -> None:
    environment = module(f"import sys\nprint('said')\nsys.stdout.flush()\nfrom sys import exit\n{end}\n")
    command = ["-m", "seen"]

    copied = loaded.run(command, tmp_path, environment)
    real = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert (copied.returncode, copied.stdout) == (real.returncode, real.stdout)
    assert copied.stderr.splitlines()[-1:] == real.stderr.splitlines()[-1:]


def test_a_copy_takes_signals_and_is_there_until_it_has_ended(
    module: Callable[[str], dict[str, str]], tmp_path: Path, eventually: Callable[..., None]
) -> None:
    environment = module("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    with (tmp_path / "said").open("w") as said:
        copy = loaded.start(["-m", "seen"], tmp_path, environment, said, new_session=True)
    eventually(lambda: (tmp_path / "said").read_text() == "up\n")
    assert os.getsid(copy.pid) == copy.pid

    copy.send_signal(signal.SIGSTOP)
    eventually(lambda: psutil.Process(copy.pid).status() == psutil.STATUS_STOPPED)
    assert copy.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        copy.wait(0.05)
    copy.kill()

    assert copy.wait(10) == copy.poll() == copy.returncode == -signal.SIGKILL
    assert not psutil.pid_exists(copy.pid)
    copy.terminate()  # to nobody


def test_the_interpreter_passes_signals_on_and_its_copy_dies_with_it(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    loaded.run(["sortline", "--version"], tmp_path, os.environ)  # what is loaded at the first one is
    environment = {**os.environ, "PYTHONPATH": str(loaded.ROOT), "SORTLINE_REDIS_URL": "redis://127.0.0.1:1/0",
                   "SORTLINE_DATABASE_URL": "postgresql://127.0.0.1:1/none", "SORTLINE_DATA_DIR": str(tmp_path)}  # fmt: skip
    command = [loaded.interpreter(), "-m", "web"]
    for number in (signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
            try:
                eventually(lambda: _copies_in(tmp_path))
            finally:
                process.send_signal(number)
        assert process.returncode == -number
        eventually(lambda: not _copies_in(tmp_path))


def _copies_in(folder: Path) -> list[psutil.Process]:
    """The copies that work in a folder: other test processes have some of their own."""
    socket = str(loaded.keepers() / "everything")
    return [each for each in psutil.process_iter(["cmdline", "cwd"])
            if socket in (each.info["cmdline"] or []) and each.info["cwd"] == str(folder)]  # fmt: skip
