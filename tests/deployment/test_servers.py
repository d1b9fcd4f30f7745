"""Servers as people run them: addresses, TLS and a pooler, seen by the processes themselves."""

import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import text

from db.connection import get_engine
from db.queries import model_versions
from db.session import is_encrypted, is_pooled, session
from housekeeping.backup import backup
from housekeeping.restore import restore
from migrations.upgrade import migrate
from sortline.celery_app import celery_app
from sortline.cli.examine import examine
from sortline.errors import ConfigurationError
from sortline.redis_check import check_broker, check_documents
from sortline.redis_client import connect, where
from sortline.settings import Settings
from tests import loaded
from tests.conftest import environment, find_free_port
from tests.deployment.bed import POSTGRES_PASSWORD, REDIS_PASSWORD, Bed, running_tls_postgres

CELERY = ["-m", "celery", "-A"]
WORKER = ["worker", "--without-gossip", "--without-mingle", "-n", "probe@%h"]
PROCESSES = {
    "web": ["-m", "web"],
    "worker": [*CELERY, "worker", *WORKER],
    "trainer": [*CELERY, "trainer", *WORKER, "-Q", "training", "--pool=solo"],
    "beat": [*CELERY, "trainer", "beat"],
    "flower": ["-m", "monitoring.flower"],
    "status": ["sortline", "status", "--json"],
    "doctor": ["sortline", "doctor"],
    "migrate": ["sortline", "migrate"],
    "enqueue": ["sortline", "enqueue", "-", "--format", "lines"],
}


@pytest.fixture
def settings(bed: Bed, tmp_path: Path) -> Iterator[Settings]:
    """Settings of an installation on the bed, with a database and a prefix of its own."""
    name = f"servers_{tmp_path.name}".replace("-", "_").lower()[:60]
    bed.make_database(name)
    made = Settings(
        _env_file=None, database_url=bed.pooled_url(name), redis_url=bed.redis_url(2), redis_ca_file=bed.authority,
        data_dir=tmp_path / "data", prefix=name,
    )  # fmt: skip
    yield made
    get_engine(made.postgres_url).dispose()
    bed.drop_database(name)


def run_all(names: set[str], settings: Settings, folder: Path, **more: str) -> dict[str, tuple[int, str]]:
    """Run processes at the same time until each ends by itself; their exit codes, and all they print."""
    # Another program may have the ports that processes take by themselves.
    ports = {f"SORTLINE_{name}_PORT": str(find_free_port()) for name in ("WEB", "FLOWER")}
    variables = environment(settings, **ports, **more)

    def run(name: str) -> tuple[int, str]:
        done = loaded.run(PROCESSES[name], folder, variables, input="a text\n", timeout=200)
        return done.returncode, done.stdout + done.stderr

    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(run, names), strict=True))


def test_every_process_says_in_a_sentence_that_a_url_can_not_be_read(tmp_path: Path) -> None:
    hash_in_it = Settings(_env_file=None, redis_url="redis://:hush#piece@127.0.0.1:6379/0")
    slash_in_it = Settings(_env_file=None, database_url="postgresql://me:hush/pi?ece@127.0.0.1:1/db")
    without_postgres = {"flower", "enqueue", "doctor", "beat", "trainer"}
    found = run_all(without_postgres, hash_in_it, tmp_path) | run_all(
        set(PROCESSES) - without_postgres, slash_in_it, tmp_path
    )
    for name, (code, said) in found.items():
        assert code == 1, (name, said)
        assert "percent-encode the password" in said and "Traceback" not in said, (name, said)
        assert not any(piece in said for piece in ("hush", "piece", "ece@")), (name, said)
        if name != "doctor":
            assert said.strip().count("\n") == 0, (name, said)


def test_every_process_refuses_a_certificate_of_an_unknown_authority(
    bed: Bed, settings: Settings, tmp_path: Path
) -> None:
    names = {"web", "worker", "beat", "flower", "enqueue"}
    found = run_all(names, settings.model_copy(update={"redis_ca_file": bed.unknown_authority}), tmp_path)
    for name, (code, said) in found.items():
        assert code == 1, (name, said)
        assert "CERTIFICATE_VERIFY_FAILED" in said and "Traceback" not in said, (name, said)
        assert "rd%23" not in said and "rd#" not in said, (name, said)


@pytest.mark.parametrize(
    ("parameters", "setting", "level"),
    [("ssl_ca_certs={ca}", None, "ok"), ("ssl_cert_reqs=none", None, "warn"), ("", "{ca}", "ok"), ("", None, "refused"),
     ("ssl_ca_certs={unknown}", "{ca}", "refused")],
)  # fmt: skip
def test_the_client_and_celery_verify_alike(bed: Bed, parameters: str, setting: str | None, level: str) -> None:
    files = {"ca": bed.authority, "unknown": bed.unknown_authority}
    made = Settings(
        _env_file=None, redis_url=f"{bed.redis_url(3)}?{parameters.format(**files)}".rstrip("?"),
        redis_ca_file=setting and setting.format(**files),
    )  # fmt: skip
    with celery_app("probe", made.celery_broker).connection() as broker:
        if level == "refused":
            for check in (partial(check_documents, made.redis), partial(check_broker, made.broker)):
                with pytest.raises(ConfigurationError, match="set SORTLINE_REDIS_CA_FILE"):
                    check()
            with pytest.raises(broker.connection_errors, match="CERTIFICATE_VERIFY_FAILED"):
                broker.ensure_connection(max_retries=1, reraise_as_library_errors=False)
            return
        check_documents(made.redis)
        check_broker(made.broker)
        broker.ensure_connection(max_retries=1)
    assert [f.level for f in examine(made) if f.name == "Redis TLS"] == [level]


def test_a_redis_at_an_ipv6_address_carries_celery(bed: Bed) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    made = Settings(_env_file=None, redis_url=bed.redis_url(4, "[::1]"), redis_ca_file=bed.authority)
    check_documents(made.redis)
    with connect(made.redis) as client:
        assert where(client) == f"[::1]:{bed.redis_port}"
    with celery_app("probe", made.celery_broker).connection() as broker:
        broker.ensure_connection(max_retries=1)


def test_a_socket_with_a_password_carries_celery(bed: Bed) -> None:
    made = Settings(_env_file=None, redis_url=bed.redis_socket_url(4))
    check_documents(made.redis)
    app: Celery = celery_app("probe", made.celery_broker)
    with app.connection() as broker:
        queue = broker.SimpleQueue("probe")
        queue.put("hello")
        options = broker.default_channel.client.connection_pool.connection_kwargs
        assert (options["db"], options["password"]) == (5, REDIS_PASSWORD)
        queue.get(timeout=5).ack()
        queue.close()


def test_one_database_holds_documents_and_broker_where_there_is_no_other(bed: Bed) -> None:
    last = Settings(_env_file=None, redis_url=bed.redis_url(15), redis_ca_file=bed.authority)
    with pytest.raises(ConfigurationError, match="has no database 16; set SORTLINE_BROKER_DATABASE"):
        check_broker(last.broker)
    found = {finding.name: finding for finding in examine(last)}
    assert found["Redis"].level == "ok"
    assert found["Celery's broker"].level == "fail" and "SORTLINE_BROKER_DATABASE" in found["Celery's broker"].found

    alone = last.model_copy(update={"broker_database": 15})
    check_broker(alone.broker)
    (told,) = [finding for finding in examine(alone) if finding.name == "Celery's broker"]
    assert told.level == "ok" and "the same database as the documents" in told.found


def test_statements_are_not_prepared_behind_a_pooler(bed: Bed, settings: Settings) -> None:
    migrate(settings.postgres_url)

    def ask(_: int) -> list[int]:
        found = []
        for _ in range(12):  # psycopg prepares what comes a fifth time
            with session(settings.postgres_url) as opened:
                assert is_pooled(opened)
                model_versions.active(opened)
                found.append(int(opened.scalar(text("SELECT pg_backend_pid()")) or 0))
                opened.rollback()
        return found

    with ThreadPoolExecutor(10) as pool:
        servers = {server for found in pool.map(ask, range(10)) for server in found}
    assert 1 < len(servers) <= 4  # ten clients shared the pooler's connections

    plain = settings.model_copy(update={"database_url": bed.direct_url(settings.prefix)})
    with session(plain.postgres_url) as opened:
        assert not is_pooled(opened)
    get_engine(plain.postgres_url).dispose()
    found = {finding.name: finding for finding in examine(settings)}
    assert "prepared statements are not used" in found["Postgres pooler"].found
    assert found["Postgres TLS"].found == "encrypted, certificate verified (verify-full)"


def test_a_backup_through_the_pooler_leaves_its_connections_as_they_were(settings: Settings, tmp_path: Path) -> None:
    migrate(settings.postgres_url)
    backup(settings, tmp_path / "backup")
    restore(settings, tmp_path / "backup", "tests", force=True)

    engines = [get_engine(settings.postgres_url).connect() for _ in range(4)]
    for connection in engines:  # each holds another of the pooler's four
        assert connection.scalar(text("SHOW search_path")) == '"$user", public'
        assert connection.scalar(text("SHOW row_security")) == "on"
        assert connection.scalar(text("SELECT count(*) FROM documents")) == 0
    for connection in engines:
        connection.close()


def test_a_packaged_postgres_with_tls_of_its_own_is_backed_up(
    bed: Bed, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be older than the programs at hand, and offers passwords that are bound to its TLS connection."""
    with running_tls_postgres(bed) as url:
        made = settings.model_copy(update={"database_url": url})
        migrate(made.postgres_url)
        assert not [f for f in examine(made) if f.name in {"Postgres", "Postgres TLS"} and f.level != "ok"]
        for name, path in (("its own programs", os.environ["PATH"]), ("the wheel's", "/nonexistent")):
            monkeypatch.setenv("PATH", path)
            backup(made, tmp_path / name)
            restore(made, tmp_path / name, "tests", force=True)
            with session(made.postgres_url) as opened:
                assert is_encrypted(opened) and not is_pooled(opened)
                assert opened.scalar(text("SELECT count(*) FROM documents")) == 0
        get_engine(made.postgres_url).dispose()


def test_a_wrong_password_and_a_missing_authority_are_a_sentence_each(bed: Bed, settings: Settings) -> None:
    wrong = [
        settings.model_copy(update={"database_url": str(settings.database_url).replace("pg%23", "no%23")}),
        settings.model_copy(update={"database_url": str(settings.database_url).replace("authority", "missing")}),
        settings.model_copy(update={"redis_url": str(settings.redis_url).replace("rd%23", "no%23")}),
    ]
    for made in wrong:
        for finding in examine(made):
            shown = json.dumps([finding.found, finding.advice])
            assert not any(piece in shown for piece in (POSTGRES_PASSWORD, REDIS_PASSWORD, "%23"))
        failed: list[Any] = [f for f in examine(made) if f.level == "fail" and f.name in {"Postgres", "Redis"}]
        assert len(failed) == 1 and "\n" not in failed[0].found
