"""Addresses: a URL is read without doubt or refused in a sentence, and no piece of a password is ever shown."""

import ssl
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from sortline.errors import ConfigurationError, ServerUnreachableError
from sortline.postgres_address import PostgresAddress
from sortline.redis_address import RedisAddress
from sortline.redis_check import check_broker
from sortline.settings import Settings

SIGNS = "a#b/c?d%e@f:g[h]i;j&k=l+m\"n'o $p{q}r\\s"
KINDS = {"postgresql": PostgresAddress.read, "redis": RedisAddress.read}


@pytest.mark.parametrize("scheme", KINDS)
@pytest.mark.parametrize(
    "secret", ["s3cr#et", "s3cr/et", "s3cr?et", "s3cr[et", "s3cr]et", "s3cr%et", "12/34", "12?34", "12#34", "a?b=c&d"]
)
def test_a_password_that_is_not_encoded_is_one_sentence_without_it(scheme: str, secret: str) -> None:
    with pytest.raises(ConfigurationError, match="percent-encode the password") as refused:
        KINDS[scheme](f"{scheme}://someone:{secret}@127.0.0.1:1/0")
    said = str(refused.value)
    assert "\n" not in said and said.startswith("SORTLINE_")
    assert not any(piece in said for piece in (secret, "s3cr", "12", "34", "a?b", "someone"))


@pytest.mark.parametrize("scheme", KINDS)
@pytest.mark.parametrize(
    "form", ["{scheme}://someone:{secret}@h:1/0", "{scheme}://h:1/0?{user}=someone&password={secret}"]
)
def test_an_encoded_password_is_read_and_hidden(scheme: str, form: str) -> None:
    user = "user" if scheme == "postgresql" else "username"
    url = form.format(scheme=scheme, secret=quote(SIGNS, safe=""), user=user)
    address = KINDS[scheme](url)
    found = address.parameters["password"] if isinstance(address, PostgresAddress) else address.password
    assert found == SIGNS
    assert KINDS[scheme](address.url) == address
    for shown in (str(address), repr(address), f"{[address]}"):
        assert quote(SIGNS, safe="") not in shown and SIGNS not in shown and "***" in shown


def test_what_celery_and_the_client_get_is_the_same_server() -> None:
    address = RedisAddress.read(f"rediss://me:{quote(SIGNS, safe='')}@[::1]:6390/4?ssl_ca_certs=/etc/ca.pem")
    client = redis.Redis.from_url(address.url).connection_pool.connection_kwargs
    assert (client["host"], client["port"], client["db"], client["password"]) == ("::1", 6390, 4, SIGNS)
    from sortline.celery_app import celery_app

    with celery_app("probe", address).connection() as broker:
        assert (broker.hostname, broker.port, broker.virtual_host) == ("::1", 6390, "4")
        assert (broker.userid, broker.password) == ("me", SIGNS)
        assert (broker.ssl["ssl_ca_certs"], broker.ssl["ssl_check_hostname"]) == ("/etc/ca.pem", True)
        assert broker.ssl["ssl_cert_reqs"] == ssl.CERT_REQUIRED
        assert SIGNS not in broker.as_uri() and quote(SIGNS, safe="") not in broker.as_uri()


def test_a_socket_is_read_in_both_forms() -> None:
    address = RedisAddress.read("unix://me:p%3Bw@/run/redis/a.sock?db=3")
    assert address == RedisAddress.read("redis+socket://me:p%3Bw@/run/redis/a.sock?virtual_host=3")
    assert (address.where, str(address)) == ("/run/redis/a.sock", "unix://me:***@/run/redis/a.sock?db=3")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://h/abc", "the Redis database must be a number"),
        ("redis://h:6379/1?db=2", "names the database twice"),
        ("redis://h:port/0", "a port must be a number"),
        ("redis://h:70000/0", "a port must be a number"),
        ("redis://::1:6379/0", "an IPv6 address must be in brackets"),
        ("redis://u:p@h/0?password=q", "names the password twice"),
        ("redis://h/0?ssl_ca_certs=/x", "write rediss://"),
        ("rediss://h/0?ssl_cert_reqs=maybe", "required, optional or none"),
        ("redis://u:p@h/0?protocol=3", "an unknown parameter: protocol"),
        ("redis+sentinel://:p@a:26379,b:26379/mymaster/0", "Redis Sentinel"),
        ("sentinel://:p@a:26379;sentinel://:p@b:26379", "Redis Sentinel"),
        ("rediss+cluster://:p@h:6379", "a Redis Cluster"),
        ("redis://:p@a:6379,b:6379/0", "several servers"),
        ("unix:tmp/x", "is not a Redis URL"),
        ("amqp://u:p@h", "is not a Redis URL"),
        ("h:6379", "is not a Redis URL"),
    ],
)
def test_redis_urls_that_say_nothing_certain_are_refused_by_name(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        RedisAddress.read(url)
    assert "\n" not in str(refused.value) and "mymaster" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:p@h/db?pgbouncer=true", "an unknown parameter: pgbouncer"),
        ("postgresql://u:p@h/db?sslmode=require&sslmode=disable", "the parameter sslmode twice"),
        ("postgresql://u@h/one?dbname=two", "names the database twice"),
        ("postgresql://u@::1/db", "an IPv6 address must be in brackets"),
        ("postgresql://u@[zz]/db", "an IPv6 address must be in brackets"),
        ("mysql://u:p@h/db", "is not a Postgres URL"),
        ("jdbc:postgresql://h/db", "is not a Postgres URL"),
        ("postgresql://u:p@h/db\nhost=x", "can't be read"),
    ],
)
def test_postgres_urls_that_say_nothing_certain_are_refused_by_name(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        PostgresAddress.read(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://h", {"host": "h"}),
        ("postgresql://u:p@[fe80::1]:5433/db", {"host": "fe80::1", "port": "5433"}),
        ("postgresql://u@one:1,two:2/db?target_session_attrs=primary", {"host": "one,two", "port": "1,2"}),
        ("postgresql+psycopg://u@/db?host=/run/postgres", {"host": "/run/postgres"}),
        ("postgresql://%2Frun%2Fpostgres/db", {"host": "/run/postgres"}),
        ("postgresql://h/db?password=a+b", {"password": "a+b"}),
    ],
)
def test_the_forms_that_libpq_knows_are_read_as_libpq_reads_them(url: str, expected: dict[str, str]) -> None:
    from psycopg.conninfo import conninfo_to_dict

    address = PostgresAddress.read(url)
    assert address.parameters.items() >= expected.items()
    plain = url.replace("postgresql+psycopg", "postgresql")
    assert address.parameters == conninfo_to_dict(plain) == conninfo_to_dict(address.url)


def test_settings_never_show_what_is_secret() -> None:
    given = {
        "database_url": "postgresql://u:hushhush@h/db", "redis_url": "redis://:hushhush@h/0",
        "broker_url": "redis://:hushhush@h/1", "flower_basic_auth": "u:hushhush",
    }  # fmt: skip
    settings = Settings(_env_file=None, **given)  # type: ignore[arg-type]
    shown = [repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()]
    assert not any("hushhush" in each for each in shown)
    assert settings.postgres_url.parameters["password"] == "hushhush"
    with pytest.raises(ValueError, match="web_port") as wrong:
        Settings(_env_file=None, **given, web_port="hushhush")  # type: ignore[arg-type]
    assert "hushhush" not in str(wrong.value)


def test_the_broker_may_be_any_database(tmp_path: Path) -> None:
    def broker(**more: object) -> str:
        return Settings(_env_file=None, data_dir=tmp_path, **more).celery_broker.url  # type: ignore[arg-type]

    assert broker(redis_url="redis://h?db=3") == "redis://h/4"
    assert broker(redis_url="rediss://h/0", broker_database=0) == "rediss://h/0"
    assert broker(redis_url="redis://h/0", broker_url="redis://other:1/7") == "redis://other:1/7"
    assert broker().endswith("/redis.sock?db=1")


def test_a_missing_file_of_certificates_is_named_with_its_setting(tmp_path: Path) -> None:
    missing = tmp_path / "no.pem"
    by_setting = Settings(_env_file=None, redis_url="rediss://h/0", redis_ca_file=missing)
    with pytest.raises(ConfigurationError, match=f"SORTLINE_REDIS_CA_FILE: {missing} can't be read"):
        _ = by_setting.redis
    by_url = Settings(_env_file=None, redis_url=f"rediss://h/0?ssl_ca_certs={missing}")
    with pytest.raises(ConfigurationError, match=f"SORTLINE_REDIS_URL: {missing} can't be read"):
        _ = by_url.celery_broker


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, "database 1 of SORTLINE_REDIS_URL"),
        ({"broker_database": 0}, "SORTLINE_BROKER_DATABASE"),
        ({"broker_url": "redis://:hush@127.0.0.1:1/0"}, "SORTLINE_BROKER_URL"),
    ],
)
def test_a_broker_that_is_away_is_said_with_the_settings_name(more: dict[str, object], name: str) -> None:
    settings = Settings(_env_file=None, redis_url="redis://:hush@127.0.0.1:1/0", **more)  # type: ignore[arg-type]
    with pytest.raises(ServerUnreachableError, match=f"Celery's broker at .*{name}.* can't be reached") as away:
        check_broker(settings.broker)
    assert "hush" not in str(away.value)
