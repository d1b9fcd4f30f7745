"""Flower as deployed: with a password that no command line shows, beside a worker it can see."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring.flower import environment
from sortline.cli.checks.web import check_flower
from sortline.errors import ConfigurationError
from sortline.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(redis_url: str, secrets: Path, free_port: int) -> Settings:
    return Settings(
        _env_file=None, redis_url=redis_url, flower_port=free_port,
        flower_basic_auth_file=secrets / "flower_basic_auth",
    )  # fmt: skip


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "celery",
        "worker",
        "--pool=solo",
        "-n",
        "probe@test",
        "-E",
        "-l",
        "ERROR",
    ]
    variables = {**os.environ, "CELERY_BROKER_URL": settings.celery_broker.url}
    with subprocess.Popen(command, env=variables, cwd=tmp_path) as process:
        yield "probe@test"
        process.terminate()


@pytest.fixture
def flower(settings: Settings, secrets: Path) -> Iterator["subprocess.Popen[bytes]"]:
    variables = {
        **os.environ,
        "SORTLINE_REDIS_URL": str(settings.redis_url),
        "SORTLINE_FLOWER_PORT": str(settings.flower_port),
        "SORTLINE_FLOWER_BASIC_AUTH_FILE": str(secrets / "flower_basic_auth"),
    }
    with subprocess.Popen([sys.executable, "-m", "monitoring.flower"], env=variables) as process:
        yield process
        process.terminate()


def test_flower_asks_for_the_password_and_lists_the_worker(
    settings: Settings, worker: str, flower: "subprocess.Popen[bytes]"
) -> None:
    _until(lambda: _get(settings, "/healthcheck") == b"OK")
    for path in ("/", "/workers", "/api/workers", "/metrics"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            _get(settings, path)
        assert refused.value.code == 401
    password = str(settings.flower_password)
    _until(lambda: worker in json.loads(_get(settings, "/api/workers?refresh=1", password)))
    assert b"flower_" in _get(settings, "/metrics", password)

    assert [
        finding.level for finding in check_flower(settings.flower_host, settings.flower_port, settings.flower_path)
    ] == ["ok"]
    shown = Path(f"/proc/{flower.pid}/cmdline").read_bytes()
    assert b"celery" in shown
    assert password.partition(":")[2].encode() not in shown
    assert str(settings.redis_url).encode() not in shown


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_doctor_warns_of_a_flower_that_asks_for_no_password(settings: Settings, host: str) -> None:
    settings = settings.model_copy(update={"flower_host": host})
    assert list(check_flower(settings.flower_host, settings.flower_port, settings.flower_path)) == []
    variables = {
        **os.environ,
        "SORTLINE_REDIS_URL": str(settings.redis_url),
        "SORTLINE_FLOWER_HOST": host,
        "SORTLINE_FLOWER_PORT": str(settings.flower_port),
    }
    with subprocess.Popen([sys.executable, "-m", "monitoring.flower"], env=variables) as process:
        _until(lambda: _get(settings, "/healthcheck") == b"OK")
        (finding,) = check_flower(settings.flower_host, settings.flower_port, settings.flower_path)
        process.terminate()
    assert (finding.level, "FLOWER_BASIC_AUTH" in str(finding.advice)) == ("warn", True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "flower.example.org"])
def test_flower_is_not_opened_to_others_without_a_password(host: str) -> None:
    with pytest.raises(ConfigurationError, match="password"):
        environment(host=host, path="", password=None)


def test_a_password_without_a_user_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="user:password"):
        environment(host="127.0.0.1", path="", password="secret")


def _get(settings: Settings, path: str, password: str | None = None) -> bytes:
    request = urllib.request.Request(f"{settings.flower_address}{path}")
    if password:
        request.add_header("Authorization", "Basic " + b64encode(password.encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def _until(met: Any) -> None:
    deadline = time.monotonic() + 40
    while True:
        try:
            if met():
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline
        time.sleep(0.3)
