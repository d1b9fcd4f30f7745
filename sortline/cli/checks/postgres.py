"""Does Postgres answer, and may predictions be kept there?"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sortline.cli.checks.base_model import check_texts
from sortline.cli.checks.finding import Finding, is_elsewhere
from sortline.errors import SortlineError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_POSTGRES = 15


def check_postgres(settings: Settings) -> Iterator[Finding]:
    """Whether Postgres answers, is new and safe enough, and holds what Sortline needs.

    It takes the settings, because an address that can't be read is a finding too.
    """
    if not (find_spec("sqlalchemy") and find_spec("psycopg") and find_spec("alembic")):
        yield Finding("Postgres", "warn", "can't be checked: there is no driver", "pip install 'sortline[database]'")
        return
    from db.session import session

    try:
        with session(settings.postgres_url) as opened:
            yield from _postgres_findings(opened, settings.base_model)
            yield from _way_to_postgres(opened, settings.postgres_url)
    except SortlineError as error:
        yield Finding("Postgres", "fail", str(error), "run `sortline up`, or set SORTLINE_DATABASE_URL")


def _postgres_findings(opened: "Session", base_model: str) -> Iterator[Finding]:
    from db.queries import model_versions, server, webhooks
    from migrations.upgrade import newest_revision

    yield _version(*server.version(opened))
    for name in ("fsync", "synchronous_commit"):
        value = server.setting(opened, name)
        if value in {"off", "local"}:  # local: a standby may lack what was acknowledged
            yield Finding(f"Postgres {name}", "fail", value, f"set {name} = on; as it is, a crash loses predictions")
        else:
            yield Finding(f"Postgres {name}", "ok", value)
    yield from _usable(opened)
    revision, newest = server.revision(opened), newest_revision()
    if revision != newest:
        yield Finding("schema", "fail", f"{revision or 'none'}, but Sortline needs {newest}", "run `sortline migrate`")
        return
    yield Finding("schema", "ok", str(revision))
    yield _pgvector(opened)
    active = model_versions.active(opened)
    if active is None:
        yield Finding(
            "active model",
            "warn",
            "no model yet: documents are stored and wait for a model",
            "decide documents at the desk or run `sortline import FILE`, then `sortline train`",
        )
    else:
        yield Finding("active model", "ok", f"version {active.id}")
    yield from check_texts(opened, base_model)
    for webhook, _ in webhooks.listing(opened):
        if webhook.state == "active":
            continue
        why = webhook.paused_because if webhook.paused_at else webhook.last_error
        advice = "fix that, then run `sortline webhooks test` and `sortline webhooks resume`"
        yield Finding(f"webhook {webhook.name}", "warn", f"{webhook.state}: {why}", advice)


def _usable(opened: "Session") -> Iterator[Finding]:
    """What makes Sortline's writes fail."""
    from db.queries import server

    encoding = server.setting(opened, "server_encoding")
    if encoding != "UTF8":
        advice = "use a database that was made with ENCODING 'UTF8'"
        yield Finding("Postgres encoding", "fail", f"{encoding}: it can't store every text", advice)
    if server.setting(opened, "transaction_read_only") == "on":
        found = "it only reads: nothing can be stored"
        advice = "set SORTLINE_DATABASE_URL to the primary (for several hosts target_session_attrs=read-write), and "
        yield Finding("Postgres writes", "fail", found, advice + "let the role write (default_transaction_read_only)")


def _pgvector(opened: "Session") -> Finding:
    from db.queries import embeddings, likeness

    if embeddings.has_pgvector(opened):
        return Finding("pgvector", "ok", "Postgres compares the vectors of documents")
    found = f"missing: documents that are alike are found among the newest {likeness.NEWEST:,} only, and more slowly"
    advice = "install pgvector 0.7 or newer on the server, then run `sortline migrate` on a new database"
    return Finding("pgvector", "warn", found, advice)


def _version(major: int, minor: int) -> Finding:
    if major < _POSTGRES:
        return Finding("Postgres", "fail", f"{major}.{minor}", f"use Postgres {_POSTGRES} or newer")
    return Finding("Postgres", "ok", f"{major}.{minor}")


def _way_to_postgres(opened: "Session", address: PostgresAddress) -> Iterator[Finding]:
    """Whether there is a pooler before Postgres, and whether the connection is encrypted and verified."""
    from db.session import is_encrypted, is_pooled

    if is_pooled(opened):
        found = "there is a pooler (such as PgBouncer); prepared statements are not used"
        yield Finding("Postgres pooler", "ok", found)
    mode = address.parameters.get("sslmode", "prefer")
    verified = mode in {"verify-ca", "verify-full"} or address.parameters.get("sslrootcert") == "system"
    advice = "add ?sslmode=verify-full&sslrootcert=FILE to SORTLINE_DATABASE_URL"
    if is_encrypted(opened):
        if verified:
            yield Finding("Postgres TLS", "ok", f"encrypted, certificate verified ({mode})")
        else:
            yield Finding("Postgres TLS", "warn", f"encrypted, certificate not verified (sslmode={mode})", advice)
    elif any(is_elsewhere(host) for host in address.hosts):
        yield Finding("Postgres TLS", "warn", "not encrypted: others on the network can read texts", advice)
