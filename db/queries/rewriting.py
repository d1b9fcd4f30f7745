"""Statements that make Postgres rewrite its files without what was deleted; each runs outside a transaction."""

from sqlalchemy import Connection, text

from db.queries.erasure import HANGING

TABLES = ("documents", "dead_letters", *HANGING)
_SOMETHING = text("SELECT pg_logical_emit_message(false, 'sortline', '')")
_AHEAD = text(
    "SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND name > pg_walfile_name(pg_current_wal_lsn())"
)
_MAY = text("""
SELECT has_function_privilege('pg_switch_wal()', 'execute') AND has_function_privilege('pg_ls_waldir()', 'execute')
  AND pg_has_role('pg_checkpoint', 'usage')
""")
_SUPERUSER = text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
_ELSEWHERE = text("""
SELECT current_setting('archive_mode') <> 'off' OR EXISTS (SELECT FROM pg_replication_slots)
  OR EXISTS (SELECT FROM pg_stat_replication)
""")


def rewrite(connection: Connection, table: str) -> None:
    """Rewrite a table with its live rows only; nobody else can use it meanwhile."""
    connection.execute(text(f"VACUUM (FULL, ANALYZE) {table}"))


def may_rewrite_log(connection: Connection) -> bool:
    """Whether this user may switch the write-ahead log and make a checkpoint."""
    return bool(connection.scalar(_MAY))


def is_superuser(connection: Connection) -> bool:
    """Whether this user is a superuser."""
    return bool(connection.scalar(_SUPERUSER))


def log_goes_elsewhere(connection: Connection) -> bool:
    """Whether an archive or a replica also gets the write-ahead log."""
    return bool(connection.scalar(_ELSEWHERE))


def overwrite_log(connection: Connection) -> None:
    """Overwrite the write-ahead log up to now.

    A checkpoint that begins in a new segment frees all earlier segments, but Postgres keeps some of them, with their
    content, to use them again. Each switch fills the rest of one segment with zeros, until all of those have been used.
    """
    _next_segment(connection)
    connection.execute(text("CHECKPOINT"))
    for _ in range(int(connection.scalar(_AHEAD) or 0) + 1):
        _next_segment(connection)
    connection.execute(text("CHECKPOINT"))


def _next_segment(connection: Connection) -> None:
    connection.execute(_SOMETHING)  # a switch at the very start of a segment does nothing
    connection.execute(text("SELECT pg_switch_wal()"))
