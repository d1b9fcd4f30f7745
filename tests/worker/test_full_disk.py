"""A full disk, a full memory: the doors say 503 and why, workers wait, nothing is lost, and it heals by itself."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Document
from db.queries import api_tokens
from db.token_hash import hashed
from housekeeping.outbox import sweep
from sortline.child import Child
from sortline.errors import QueueFullError
from sortline.local import embedded_redis
from sortline.redis_server import redis_server
from sortline.settings import Settings
from tests.web.conftest import TOKEN, serving
from tests.worker.conftest import Line
from worker.consumer import Consumer

pytestmark = [pytest.mark.usefixtures("model"), pytest.mark.redis_server]

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$;
CREATE TRIGGER refused BEFORE INSERT ON documents EXECUTE FUNCTION refuse();
"""


@contextmanager
def own_redis(settings: Settings, *flags: str) -> Iterator[Settings]:
    """Settings of a test with a Redis for it alone, which is started again when it ends."""
    server = embedded_redis(data_dir=settings.data_dir, runtime_dir=settings.runtime_dir)
    child = Child("redis", [*server.command, *flags], lambda *_: None)
    child.start()
    try:
        server.wait(child.is_alive)
        yield settings.model_copy(update={"redis_url": f"unix://{settings.runtime_dir / 'redis.sock'}"})
    finally:
        child.ask_to_stop()
        child.wait(20)


@pytest.fixture
def token(session: Session) -> None:
    api_tokens.add(session, "tests", hashed(TOKEN), ["documents"], "tests")
    session.commit()


def post(web: httpx.Client, id: str = "a") -> httpx.Response:
    return web.post("/v1/documents", json={"documents": [{"id": id, "text": "card lost"}]})


def refusal(answer: httpx.Response, server: str) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["detail"].startswith(f"The disk under {server} is full")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_full_postgres_is_told_to_the_doors_and_waited_out(
    line, start_worker, worker_settings, session: Session, token: None, eventually: Callable[..., None]
) -> None:
    session.execute(text(REFUSE))
    session.commit()
    worker = start_worker()
    with serving(worker_settings) as web:
        assert post(web).status_code == 202  # nobody has noticed yet
        line.send({f"b{i}": f"text {i}" for i in range(50)}, "bulk")
        eventually(lambda: post(web).status_code == 503)
        refusal(post(web), "Postgres")
        assert "The disk under Postgres is full" in web.get("/").text
        assert 'sortline_disk_full{server="postgres"} 1.0' in web.get("/metrics").text

        session.execute(text("DROP TRIGGER refused ON documents"))
        session.commit()

        eventually(lambda: post(web, "c").status_code == 202)
    eventually(lambda: line.predicted() == 52 and line.backlog() == 0)
    assert line.letters() == {}
    assert line.client.hlen(f"{worker_settings.prefix}:attempts:live") == 0
    assert worker.process.poll() is None


def test_what_a_person_does_is_refused_with_the_reason_too(settings: Settings, session: Session, token: None) -> None:
    session.add(Document(source="shop", external_id="1", content_hash=b"1", text="card lost", lane="live"))
    session.execute(text(REFUSE.replace("documents", "queue_items")))
    session.commit()

    with serving(settings) as web:
        answer = web.post("/v1/documents/shop/1/flag")

    refusal(answer, "Postgres")


def put_on_a_full_disk(folder: Path) -> None:
    """Redis' append-only file, where each version has what it appends to."""
    folder.mkdir(parents=True)
    if redis_server(folder).version < (7, 0):
        (folder / "appendonly.aof").symlink_to("/dev/full")
        return
    parts = folder / "appendonlydir"
    parts.mkdir()
    (parts / "appendonly.aof.1.base.aof").touch()
    (parts / "appendonly.aof.1.incr.aof").symlink_to("/dev/full")
    (parts / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.base.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )


def test_a_redis_that_can_not_write_says_why_and_heals(
    worker_settings, token: None, eventually: Callable[..., None]
) -> None:
    put_on_a_full_disk(worker_settings.data_dir / "redis")
    settings = worker_settings.model_copy(update={"require_durable_redis": False})

    with own_redis(settings, "--appendfsync", "everysec") as full, serving(full) as web:
        eventually(lambda: post(web).status_code == 503)  # Redis notices by a first write
        refusal(post(web), "Redis")
        assert "The disk under Redis is full" in web.get("/").text
        assert 'sortline_disk_full{server="redis"} 1.0' in web.get("/metrics").text

        with redis.Redis.from_url(full.redis.url) as client:
            client.config_set("appendonly", "no")

        assert post(web).status_code == 202


def test_workers_empty_a_redis_without_memory(
    worker_settings, session: Session, start_worker, eventually: Callable[..., None]
) -> None:
    """Its memory is the documents': only acknowledgements make room, and it takes no events meanwhile."""
    with own_redis(worker_settings) as settings:
        line = Line(settings, session)  # its texts are more than what the connections of a worker take
        for lane in ("live", "bulk"):
            line.send({f"{lane}{i}": f"text {i} {'x' * 4000}" for i in range(1000)}, lane)
        ghost = Consumer(settings)  # who died twice with an entry, which is to be computed alone
        ghost.ensure_groups()
        (entry,) = ghost.read("live", 1, None)
        for _ in range(2):
            ghost.client.xclaim(settings.stream("live"), "workers", ghost.name, 0, [entry.entry_id])
        used = int(line.client.info("memory")["used_memory"])
        line.client.config_set("maxmemory", used - 200_000)
        with pytest.raises(QueueFullError, match="out of memory"):
            line.send({"one": "too many"})

        start_worker({"redis_url": settings.redis_url})

        eventually(lambda: line.backlog() == 0)
        line.client.config_set("maxmemory", 1)  # no heartbeat finds room, and yet the worker is seen
        for key in line.client.keys("*:workers:*"):
            line.client.delete(key)
        eventually(lambda: line.queue.workers())
        assert line.predicted() == 2000
        assert line.count("SELECT count(*) FROM outbox WHERE sent_at IS NULL AND document_id IS NOT NULL") > 0
        line.client.config_set("maxmemory", 0)
        sweep(settings)
        assert len({event["id"] for event in line.events()}) == 2000
        assert line.letters() == {}


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 80 MB."""
    place = Path(tempfile.mkdtemp(prefix="sortline-test-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=80m", "sortline", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        place.rmdir()
        pytest.skip("this user may not mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    place.rmdir()


def test_an_embedded_redis_on_a_full_disk_ends_and_comes_back(
    worker_settings, token: None, small_disk: Path, eventually: Callable[..., None]
) -> None:
    worker_settings.data_dir.mkdir(parents=True)
    (worker_settings.data_dir / "redis").symlink_to(small_disk)
    ballast = small_disk / "ballast"
    with own_redis(worker_settings) as outside:
        embedded = outside.model_copy(update={"redis_url": None})
        with serving(embedded) as web:
            assert post(web).status_code == 202
            with ballast.open("ab", buffering=0) as file, suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            with pytest.raises(redis.exceptions.ConnectionError), redis.Redis.from_url(embedded.redis.url) as client:
                client.set("a", "what can't be written" * 1000)
            refusal(post(web, "b"), "Redis")
            assert "The disk under Redis is full" in web.get("/").text
            assert 'sortline_disk_full{server="redis"} 1.0' in web.get("/metrics").text

            ballast.unlink()

            eventually(lambda: post(web, "b").status_code == 202)
            with redis.Redis.from_url(embedded.redis.url) as client:
                assert client.xlen(embedded.stream("live")) == 2
