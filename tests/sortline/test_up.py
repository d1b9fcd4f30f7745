"""What a person sees of `sortline up`: few lines, each of which matters; the rest in files."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy.orm import Session
from tiny_versions import add_version, promote

from db.models import DeadLetter
from sortline.child import End
from sortline.cli import ends as ends_module
from sortline.cli.ends import Ends
from sortline.cli.overview import is_private, sign_in
from sortline.settings import Settings
from tests.conftest import environment, find_free_port

SORTLINE = Path(sys.executable).parent / "sortline"
Eventually = Callable[..., None]


class Up:
    """A `sortline up` of some processes; ``said`` is what it has shown."""

    def __init__(self, settings: Settings, folder: Path, *arguments: str) -> None:
        self.out = folder / "out.txt"
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                [str(SORTLINE), "up", *arguments], cwd=folder, env=environment(settings), stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self.out.read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def up(settings: Settings, tmp_path: Path) -> Iterator[Up]:
    """The web alone, on the loopback of IPv6, with a Flower address that is told."""
    here = settings.model_copy(update={"web_host": "::1", "web_port": find_free_port()})
    started = Up(here, tmp_path, "--only", "web")
    yield started
    if started.process.poll() is None:
        started.stop()


def address(up: Up) -> str:
    found = re.search(r"web: (http://\[::1\]:\d+)\n", up.said)
    assert found, up.said
    return found[1]


@pytest.mark.timeout(240)
def test_from_the_start_to_the_end(
    up: Up, settings: Settings, session: Session, tmp_path: Path, eventually: Eventually
) -> None:
    eventually(lambda: "Ctrl-C" in up.said, 120)
    at_first = up.said.splitlines()
    assert len(at_first) < 10, up.said
    assert any("No model yet" in line for line in at_first)
    web = address(up)

    # The link is on the terminal alone, and signs in once.
    (link,) = re.findall(rf"{re.escape(web)}/sign-in/\S+", up.said)
    logs = settings.data_dir / "logs"
    assert not any("/sign-in/" in file.read_text() for file in logs.glob("*.log"))
    assert "Application startup complete" in (logs / "web.log").read_text()
    assert "set-cookie" in httpx.post(link).headers
    assert "set-cookie" not in httpx.post(link).headers

    # What matters is said as it happens.
    promote(session, add_version(session, tmp_path, 1))
    session.add(DeadLetter(lane="live", entry_id="1-1", source="shop", external_id="1", reason="empty_text",
                           detail="text is empty", raw=b"[]", attempts=1))  # fmt: skip
    session.commit()
    eventually(lambda: "model version 1 is active" in up.said and "1 document went to the dead letters" in up.said, 60)

    # A process that dies is named with its reason, once, however often it dies of it.
    port = int(web.rpartition(":")[2])
    leader = psutil.Process(up.process.pid)
    (child,) = [each for each in leader.children() if "web" in each.cmdline()]
    child.kill()
    eventually(lambda: "web was killed by SIGKILL" in up.said, 60)
    with _taken("::1", port, eventually):
        eventually(lambda: f"web exited with code 1: port {port} of ::1 is taken" in up.said, 90)
        eventually(lambda: (logs / "web.log").read_text().count("is taken") >= 2, 90)
    assert up.said.count("is taken") == 1

    assert up.stop() == 0
    assert "stopping" in up.said
    assert "Traceback" not in up.said


class _taken:  # noqa: N801 - reads as a word: with _taken(host, port, ...): ...
    """A program that listens on the port as soon as it is free."""

    def __init__(self, host: str, port: int, eventually: Eventually) -> None:
        self._socket = socket.socket(socket.AF_INET6)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        eventually(lambda: self._bind((host, port)))
        self._socket.listen()

    def _bind(self, where: tuple[str, int]) -> bool:
        try:
            self._socket.bind(where)
        except OSError:
            return False
        return True

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._socket.close()


@pytest.mark.parametrize(("host", "name"), [("127.0.0.1", "web"), ("::1", "flower")])
def test_a_taken_port_is_found_before_anything_starts(tmp_path: Path, host: str, name: str) -> None:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as other:
        port = other.getsockname()[1]
        other_settings = {f"{name}_host": host, f"{name}_port": port}
        settings = Settings(_env_file=None, data_dir=tmp_path / "data", **other_settings)
        done = subprocess.run(
            [str(SORTLINE), "up", "--only", name], cwd=tmp_path, env=environment(settings), capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"sortline: port {port} of {host} is taken")
    assert f"SORTLINE_{name.upper()}_PORT" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data" / "postgres").exists()


@pytest.mark.parametrize(("module", "name"), [("web", "web"), ("monitoring.flower", "flower")])
def test_a_process_that_can_not_have_its_port_ends_with_one_sentence(
    settings: Settings, module: str, name: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        variables = environment(settings.model_copy(update={f"{name}_port": port}))
        done = subprocess.run(
            [sys.executable, "-m", module], env=variables, capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name}: port {port} of 127.0.0.1 is taken")
    assert len(done.stderr.splitlines()) == 1


def test_the_first_link_is_made_once_and_not_for_everybody(settings: Settings, session: Session) -> None:
    open_to_all = settings.model_copy(update={"web_host": "0.0.0.0"})
    behind_a_proxy = settings.model_copy(update={"web_url": "https://sortline.example.org"})
    for others_may_read in (open_to_all, behind_a_proxy):
        assert not is_private(others_may_read.web_host, others_may_read.web_url)
        hint = sign_in(settings.postgres_url, others_may_read.web_address, shows_link=False)
        assert hint is not None and "sortline users add" in hint and "/sign-in/" not in hint

    assert is_private(settings.web_host, settings.web_url)
    first, second = (sign_in(settings.postgres_url, settings.web_address, shows_link=True) for _ in range(2))
    assert first is not None and "http://127.0.0.1:8080/sign-in/" in first
    assert second is not None and "sortline users link" in second and "/sign-in/" not in second


def test_an_end_is_told_once_for_each_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    ends = Ends(told.append, lambda name: Path(f"{name}.log"))
    for said in ("no room", "no room", "no memory", "no memory"):
        ends.take(End("worker", 1, said, 0.0))
    ends.report_recoveries()
    assert [line.partition(".")[0] for line in told] == [
        "worker exited with code 1: no room",
        "worker exited with code 1: no memory (3 times so far)",
    ]

    monkeypatch.setattr(ends_module, "_RUNS_AFTER_S", -1.0)
    ends.report_recoveries()
    ends.report_recoveries()
    assert told[2:] == ["worker is running again"]
