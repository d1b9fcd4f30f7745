"""A user id without a name, no HOME, a read-only file system: every process runs, and a training to its end."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis
from labelled_lines import labelled_lines
from tiny_bert import build_tiny_bert

from sortline.child import Child
from sortline.cli.supervisor import PROCFILE
from sortline.errors import ConfigurationError
from sortline.home import make_home
from sortline.local import embedded_postgres
from sortline.published import figure, of_others
from sortline.queue import DocumentQueue
from sortline.settings import Settings
from tests.conftest import PATIENT, ROOT, find_free_port, until
from tests.deployment.bare import USER_ID, bare, missing
from tests.deployment.own_redis import own_redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that everybody may reach, with a data folder that anybody may write."""
    if why := missing():
        pytest.skip(why)
    made = Path(tempfile.mkdtemp(prefix="sortline-any-user-", dir="/tmp"))
    made.chmod(0o755)
    (made / "data").mkdir()
    os.chown(made / "data", USER_ID, 0)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def variables(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of the processes: servers over TCP, a tiny base model, and nothing of a home."""
    here = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("postgres"))
    port = find_free_port()
    server = embedded_postgres(data_dir=here.data_dir, runtime_dir=here.runtime_dir)
    over_tcp = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", "fsync=off"]
    postgres = Child("postgres", [*server.command, *over_tcp], lambda *_: None, user=server.user)
    postgres.start()
    build_tiny_bert(folder / "base")
    (folder / "base/model.safetensors").chmod(0o644)
    with own_redis(tmp_path_factory.mktemp("redis")) as server_of_documents:
        yield {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "SORTLINE_DATA_DIR": str(folder / "data"),
            "SORTLINE_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{port}/postgres",
            "SORTLINE_REDIS_URL": f"redis://127.0.0.1:{server_of_documents.port}/0",
            "SORTLINE_BASE_MODEL": str(folder / "base"),
            "SORTLINE_WEB_PORT": str(find_free_port()),
            "SORTLINE_FLOWER_PORT": str(find_free_port()),
            **PATIENT,
        }
    postgres.ask_to_stop()
    postgres.wait(20)


def run(variables: dict[str, str], *command: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        bare(*command), cwd="/", env=variables | more, capture_output=True, text=True, timeout=800, check=False
    )


@pytest.fixture(scope="module")
def trained(variables: dict[str, str], folder: Path) -> dict[str, Any]:
    """What the command line says of a training, from an empty database on, with what it wrote to standard error."""
    (folder / "train.csv").write_text("\n".join(labelled_lines(91)) + "\n")
    steps = (
        "migrate", f"import {folder}/train.csv", "train --epochs 2 --learning-rate 3e-3 --json",
        "models promote 1 --force --reason 'it learned little'", "classify 'where is my card'",
    )  # fmt: skip
    done = run(variables, "sh", "-ec", "; ".join(f"sortline {step}" for step in steps))
    assert done.returncode == 0, done.stderr
    outcome = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    return {"outcome": outcome, "classified": done.stdout.rpartition("}")[2], "said": done.stderr}


def test_a_training_ends_with_its_report(trained: dict[str, Any], folder: Path) -> None:
    files = {path.name for path in (folder / "data/models").rglob("*")}
    assert {"report.html", "sortline.json"} <= files
    assert "engine openvino-" in trained["said"]
    assert trained["outcome"]["model_version"] == 1
    assert any(label in trained["classified"] for label in ("card", "cash", "transfer"))
    for complaint in ("Traceback", "Matplotlib", "HOME", "Permission", "Read-only"):
        assert complaint not in trained["said"]


def test_who_did_it_is_kept_by_number(trained: dict[str, Any], variables: dict[str, str]) -> None:
    with psycopg.connect(variables["SORTLINE_DATABASE_URL"]) as database:
        assert database.execute("SELECT DISTINCT actor FROM audit_events WHERE action = 'train'").fetchall() == [
            (f"uid-{USER_ID}",)
        ]


def test_every_process_runs(trained: dict[str, Any], variables: dict[str, str], tmp_path: Path) -> None:
    said: list[str] = []
    commands = dict(line.split(": ", 1) for line in PROCFILE.read_text().splitlines())
    processes = [
        Child(name, bare("sh", "-c", f"exec {command}"), lambda who, line: said.append(f"{who}: {line}"),
              variables | {"HOME": "/"})
        for name, command in commands.items()
    ]  # fmt: skip
    for child in processes:
        child.start()
    ports = [variables[f"SORTLINE_{name}_PORT"] for name in ("WEB", "FLOWER")]
    try:
        for port, path in zip(ports, ("/health/ready", "/healthcheck"), strict=True):
            until(lambda url=f"http://127.0.0.1:{port}{path}": _answers(url), 120)
        url = f"redis://{variables['SORTLINE_REDIS_URL'].partition('://')[2]}"
        with redis.Redis.from_url(url) as client:
            here = Settings(_env_file=None, redis_url=url)
            queue = DocumentQueue(client, here)
            until(lambda: [worker["model_version"] for worker in queue.workers()] == [1], 120)
            roles = {"web", "worker", "trainer", "housekeeping", "beat"}
            until(lambda: {name.partition("@")[0] for name in of_others(client, here.prefix, "")} == roles, 60)
            sweep = {"task": "housekeeping.publish_outbox", "state": "success"}
            until(lambda: figure(of_others(client, here.prefix, ""), "sortline_tasks_total", **sweep), 60)
        with psycopg.connect(variables["SORTLINE_DATABASE_URL"], autocommit=True) as database:
            int8 = "SELECT state FROM model_forms WHERE name = 'int8'"  # which the trainer makes by itself
            until(lambda: database.execute(int8).fetchall(), 120)
            assert database.execute(int8).fetchall() != [("missing",)]
    finally:
        for child in processes:
            child.ask_to_stop()
        for child in processes:
            child.wait(30)
    assert [child.started_again for child in processes] == [0] * 6, "\n".join(said[-50:])
    assert not [line for line in said if "Traceback" in line], "\n".join(said)


@pytest.mark.parametrize("home", [None, "/", "/nowhere", "/usr"])
def test_libraries_find_a_place_to_write_to(variables: dict[str, str], home: str | None) -> None:
    code = (
        "import getpass; from sortline.home import make_home; from sortline.settings import get_settings;"
        "make_home(get_settings().data_dir); import matplotlib; print(getpass.getuser(), matplotlib.get_cachedir())"
    )
    done = run(variables, sys.executable, "-c", code, **({} if home is None else {"HOME": home}))
    assert done.returncode == 0 and not done.stderr, done.stderr
    who, place = done.stdout.split()
    assert who == f"uid-{USER_ID}"
    assert Path(place).is_relative_to(Path(variables["SORTLINE_DATA_DIR"]) / "home")


def test_where_nothing_can_be_written_it_is_said_which_variables_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    with pytest.raises(ConfigurationError, match=r"can't write to /proc .*set HOME, TMPDIR or SORTLINE_DATA_DIR"):
        make_home(Path("/proc"))


def test_a_home_that_is_there_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    make_home(tmp_path / "data")
    assert (os.environ["HOME"], os.environ.get("MPLCONFIGDIR")) == (str(tmp_path), None)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def test_the_embedded_postgres_says_what_it_lacks(variables: dict[str, str]) -> None:
    done = run({**variables, "SORTLINE_DATABASE_URL": ""}, "sortline", "up")
    assert done.returncode == 1
    assert f"user id {USER_ID}, which has no name" in done.stderr and "SORTLINE_DATABASE_URL" in done.stderr
