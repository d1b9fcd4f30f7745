"""Redis servers and users as other people set them up: it works, or one sentence says what is wrong."""

import socket
from pathlib import Path

import pytest

from sortline.cli.checks.redis import check_redis
from sortline.errors import ConfigurationError, ServerUnreachableError
from sortline.queue import Document, DocumentQueue
from sortline.redis_check import check_broker, check_documents
from sortline.redis_client import connect
from sortline.settings import Settings
from tests import loaded
from tests.conftest import environment
from tests.deployment.own_redis import OwnRedis, own_redis


def on(server: OwnRedis, settings: Settings, user: str = "") -> Settings:
    return settings.model_copy(update={"redis_url": f"redis://{user}127.0.0.1:{server.port}/0"})


@pytest.mark.parametrize(("policy", "most", "deletes"), [
    ("allkeys-lru", "100mb", True), ("allkeys-random", "100mb", True), ("allkeys-lru", "0", False),
    ("volatile-lru", "100mb", False), ("noeviction", "100mb", False),
])  # fmt: skip
def test_a_redis_that_deletes_what_it_holds_is_not_durable(
    settings: Settings, tmp_path: Path, policy: str, most: str, deletes: bool
) -> None:
    with own_redis(tmp_path, maxmemory=most, maxmemory_policy=policy, appendfsync="always") as server:
        queue = DocumentQueue(connect(on(server, settings).redis), settings)
        if deletes:
            with pytest.raises(ServerUnreachableError, match=r"deletes whole lanes.*set maxmemory-policy noeviction"):
                queue.append([Document("1", "a text")], durable=True)
            assert server.client.dbsize() == 0
        else:
            queue.append([Document("1", "a text")], durable=True)
        queue.client.close()


def test_a_replica_is_said_at_the_start(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "primary").mkdir()
    (tmp_path / "replica").mkdir()
    with (
        own_redis(tmp_path / "primary") as primary,
        own_redis(tmp_path / "replica", replicaof=f"127.0.0.1 {primary.port}") as replica,
    ):
        made = on(replica, settings)
        for check in (lambda: check_documents(made.redis), lambda: check_broker(made.broker)):
            with pytest.raises(ServerUnreachableError, match=r"is a replica.*give the address of the primary"):
                check()
        (finding,) = check_redis(made)
        assert finding.level == "fail" and "is a replica" in finding.found
        done = loaded.run(["sortline", "enqueue", "-", "--format", "lines"], tmp_path, environment(made), "a text\n")
        assert done.returncode == 1 and done.stderr.count("\n") == 1


def test_protected_mode_is_one_sentence(settings: Settings, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it asks which address this machine has for others
        except OSError:
            pytest.skip("this machine has no network")
        address = probe.getsockname()[0]
    with own_redis(tmp_path, bind="* -::*") as server:
        if str(server.client.info("server")["redis_version"]) < "7":
            pytest.skip("before Redis 7 a server that is told where to listen is not protected")
        made = settings.model_copy(update={"redis_url": f"redis://{address}:{server.port}/0"})
        with pytest.raises(ServerUnreachableError, match="protected mode") as refused:
            check_documents(made.redis)
        assert len(str(refused.value)) < 250
        done = loaded.run(["sortline", "enqueue", "-", "--format", "lines"], tmp_path, environment(made), "a text\n")
        assert done.returncode == 1 and "protected mode" in done.stderr and len(done.stderr) < 250


def test_a_user_who_lacks_a_key_of_celerys_is_refused_at_the_start(settings: Settings, tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        keys = ("~_kombu*", "~unacked*", "~worker", "~training", "~housekeeping")
        server.client.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "~sortline:*", *keys, "&*", "+@all")
        made = on(server, settings, "narrow:pw@")
        check_documents(made.redis)
        with pytest.raises(ConfigurationError, match=r"refuses this user.*all keys"):
            check_broker(made.broker)


@pytest.mark.parametrize("how", ["renamed", "not allowed"])
def test_without_info_and_config_the_line_works_and_says_what_it_can_not_know(
    settings: Settings, tmp_path: Path, how: str
) -> None:
    """As on rented servers, whose users are often `+@all -@dangerous`."""
    with own_redis(tmp_path, **({"rename_command": "INFO ''"} if how == "renamed" else {})) as server:
        server.client.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "&*", "+@all", "-@dangerous")
        made = on(server, settings, "narrow:pw@")
        check_documents(made.redis)
        check_broker(made.broker)
        levels = {finding.name: finding.level for finding in check_redis(made)}
        assert levels["Redis"] == levels["Redis appendonly"] == "warn" and "fail" not in levels.values()
        for arguments in (["enqueue", "-", "--format", "lines"], ["status"]):
            done = loaded.run(["sortline", *arguments], tmp_path, environment(made), "a text\n")
            assert done.returncode == 0, done.stderr
        assert "Redis refuses CONFIG GET" in done.stdout and "SORTLINE_REQUIRE_DURABLE_REDIS" in done.stdout
        assert server.client.xlen(made.stream("bulk")) == 1
        queue = DocumentQueue(connect(made.redis), made)
        with pytest.raises(ServerUnreachableError, match="CONFIG GET"):
            queue.append([Document("1", "a text")], durable=True)
        queue.client.close()
