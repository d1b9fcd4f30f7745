"""A producer's install, in an environment of its own: `pip install sortline` without extras, and documents are sent."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import redis

from sortline.queue import DocumentQueue
from sortline.settings import Settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
OTHER_ROOMS = {name.partition(".")[0] for name in PACKAGES} - {"sortline"}
SEND = """
import json, sys
from sortline.client import Client, Document
with Client(sys.argv[1], prefix=sys.argv[2]) as client:
    client.send([Document(id="one", text="My card was declined", source="producer")])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the base install."""
    folder = tmp_path_factory.mktemp("producer")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", *sorted({"sortline", *OTHER_ROOMS})):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    # A pip of its own would take seven seconds of processor time to set up.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=120)
    made = folder / "venv/bin/python"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", made, "install", "--quiet", "--only-binary=:all:", "--retries=1", "--no-input",
         "--disable-pip-version-check", "--constraint", ROOT / "constraints.txt", source],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    if "connection broken" in done.stderr or "Max retries exceeded" in done.stderr:
        pytest.skip("the package registry can't be reached")
    assert done.returncode == 0, done.stderr
    return made


def run(*command: str | Path, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SORTLINE_", "PYTHON"))}
    done = subprocess.run(
        command, env=kept | variables, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_sends_documents_and_loads_nothing_else(
    python: Path, settings: Settings, redis_client: redis.Redis
) -> None:
    loaded = json.loads(run(python, "-I", "-c", SEND, settings.redis.url, settings.prefix))

    assert DocumentQueue(redis_client, settings).lane("live").backlog == 1
    assert not OTHER_ROOMS & set(loaded)


def test_the_command_line_sends_a_file(
    python: Path, settings: Settings, redis_client: redis.Redis, tmp_path: Path
) -> None:
    file = tmp_path / "documents.csv"
    file.write_text("id,text\none,My card was declined\ntwo,Where is my money?\n", encoding="utf-8")

    run(
        python.with_name("sortline"), "enqueue", file,
        SORTLINE_REDIS_URL=settings.redis.url, SORTLINE_PREFIX=settings.prefix, SORTLINE_DATA_DIR=str(tmp_path),
    )  # fmt: skip

    assert sum(DocumentQueue(redis_client, settings).lane(lane).backlog for lane in ("live", "bulk")) == 2
