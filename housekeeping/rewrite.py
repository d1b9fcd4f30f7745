"""Rewrite the stores' files, so that the bytes of what was erased are gone from them too.

Deleted rows stay in Postgres' pages and log, and deleted entries in Redis' append-only file, until something
overwrites them. This does not wait for that.
"""

import time

import redis
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db.connection import get_engine
from db.queries import rewriting
from sortline.errors import ServerUnreachableError
from sortline.postgres_address import PostgresAddress
from sortline.redis_client import as_text, reaching

_AOF_WITHIN_S = 600.0


def rewrite_postgres(address: PostgresAddress) -> list[str]:
    """Rewrite the tables of documents, then the log; the line waits while a table is rewritten.

    Returns:
        A sentence for each thing that could not be done or is out of reach.
    """
    try:
        with get_engine(address).connect() as plain:
            return _rewrite_postgres(plain.execution_options(isolation_level="AUTOCOMMIT"))
    except DBAPIError as error:
        first = str(error.orig).strip().partition("\n")[0]
        raise ServerUnreachableError(f"Postgres' files were not rewritten: {first}") from None


def _rewrite_postgres(connection: Connection) -> list[str]:
    for table in rewriting.TABLES:
        rewriting.rewrite(connection, table)
    remarks = []
    if rewriting.is_superuser(connection):
        rewriting.rewrite(connection, "pg_catalog.pg_statistic")  # samples of ids and sources
    else:
        remarks.append("Postgres' statistics may hold ids of erased documents until a superuser rewrites pg_statistic")
    if rewriting.may_rewrite_log(connection):
        rewriting.overwrite_log(connection)
    else:
        remarks.append(
            "Postgres' write-ahead log holds erased texts until it is recycled: this user lacks the permissions to "
            "switch it (pg_switch_wal, pg_ls_waldir, the role pg_checkpoint)"
        )
    if rewriting.log_goes_elsewhere(connection):
        remarks.append("an archive or a replica of the write-ahead log holds erased texts as long as it keeps them")
    return remarks


def rewrite_redis(client: redis.Redis) -> list[str]:
    """Rewrite the append-only file, and wait for it; returns a sentence for each thing that could not be done."""
    with reaching(client):
        try:
            config = {as_text(name): as_text(value) for name, value in client.config_get("*").items()}
            remarks = _remarks(config)
            if config.get("appendonly") != "yes":
                return remarks
            _rewrite_append_only_file(client)
        except (redis.exceptions.NoPermissionError, redis.exceptions.ResponseError) as error:
            return [f"Redis' append-only file was not rewritten: {error}"]
    return remarks


def start_redis_rewrite(client: redis.Redis) -> None:
    """Ask Redis to rewrite its append-only file, if it keeps one and we may ask."""
    try:
        client.bgrewriteaof()
    except redis.exceptions.ResponseError:
        return  # not allowed, or under way already; Redis does it by itself when the file has doubled


def _remarks(config: dict[str, str]) -> list[str]:
    remarks = []
    if config.get("appendonly") == "yes" and config.get("aof-use-rdb-preamble") == "yes":
        remarks.append(
            "Redis' append-only file keeps deleted entries until their neighbours are gone; set aof-use-rdb-preamble no"
        )
    if config.get("save"):
        remarks.append("Redis' snapshot (dump.rdb) holds erased texts until the next one is written; BGSAVE writes it")
    return remarks


def _rewrite_append_only_file(client: redis.Redis) -> None:
    deadline = time.monotonic() + _AOF_WITHIN_S
    _wait(client, deadline)  # a rewrite that began before the erasure does not count
    client.bgrewriteaof()
    _wait(client, deadline)
    if as_text(client.info("persistence")["aof_last_bgrewrite_status"]) != "ok":
        raise ServerUnreachableError("Redis could not rewrite its append-only file; its log says why")


def _wait(client: redis.Redis, deadline: float) -> None:
    while True:
        state = client.info("persistence")
        if not (state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]):
            return
        if time.monotonic() > deadline:
            raise ServerUnreachableError(f"Redis has not rewritten its append-only file within {_AOF_WITHIN_S:g} s")
        time.sleep(0.05)
