"""The test bed is what it says it is: encrypted, pooled by transaction, closed to who has no password."""

import psycopg
import pytest
import redis

from tests.deployment.bed import Bed


def test_postgres_is_reached_through_a_pooler_over_verified_tls(bed: Bed) -> None:
    with psycopg.connect(bed.pooled_url()) as client:
        (server,) = client.execute("SELECT pg_backend_pid()").fetchone() or ()
        assert client.pgconn.ssl_in_use
        assert server != client.info.backend_pid  # a connection of the pooler's own
    wrong = bed.pooled_url().replace(str(bed.authority), str(bed.unknown_authority))
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(wrong)


def test_the_pooler_lends_a_server_for_a_transaction(bed: Bed) -> None:
    with psycopg.connect(bed.pooled_url()) as one, psycopg.connect(bed.pooled_url()) as other:
        first = one.execute("SELECT pg_backend_pid()").fetchone()
        one.rollback()
        assert other.execute("SELECT pg_backend_pid()").fetchone() == first


def test_postgres_itself_asks_for_the_password(bed: Bed) -> None:
    psycopg.connect(bed.direct_url()).close()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host="127.0.0.1", port=bed.postgres_port, user="sortline", dbname="sortline", password="x")


def test_redis_speaks_tls_alone_and_asks_for_the_password(bed: Bed) -> None:
    with redis.Redis.from_url(bed.redis_url(), ssl_ca_certs=str(bed.authority)) as client:
        assert client.ping()
    with redis.Redis.from_url(bed.redis_url()) as unknown, pytest.raises(redis.ConnectionError, match="verify failed"):
        unknown.ping()
    with (
        redis.Redis(port=bed.redis_port, ssl=True, ssl_ca_certs=str(bed.authority)) as nobody,
        pytest.raises(redis.AuthenticationError),
    ):
        nobody.ping()
