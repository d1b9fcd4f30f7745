"""Queries about the Postgres server and its schemas."""

from datetime import datetime

from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import Session

from db.models import Table

_TABLES = text("""
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = current_schema() AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname
""")
PUBLIC = "public"
OPTUNA = "optuna"  # the schema of tuning studies
_MOVE = """
UPDATE {table} SET {column} = :after || substr({column}, length(:before) + 1)
WHERE starts_with({column}, :before || '/')
"""
_MOVE_REPORTS = text("""
UPDATE model_versions
SET metrics = jsonb_set(metrics, '{report}', to_jsonb(:after || substr(metrics ->> 'report', length(:before) + 1)))
WHERE starts_with(metrics ->> 'report', :before || '/')
""")


def version(session: Session | Connection) -> tuple[int, int]:
    """Major and minor version."""
    number = int(setting(session, "server_version_num"))
    return number // 10000, number % 10000


def now(session: Session) -> datetime:
    """The present time by Postgres' clock, as in all its rows."""
    found: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return found


def setting(session: Session | Connection, name: str) -> str:
    """The value of a setting in this session."""
    return str(session.scalar(text("SELECT current_setting(:name)"), {"name": name}))


def revision(session: Session) -> str | None:
    """The schema's revision; None: there is no schema."""
    from alembic.migration import MigrationContext

    return MigrationContext.configure(session.connection()).get_current_revision()


def used_tables(session: Session) -> list[str]:
    """Tables that are not empty or not Sortline's; a table of users with only the reviewer `import` counts as empty."""
    ours = {*Table.metadata.tables, "alembic_version"}
    return [name for name in session.scalars(_TABLES).all() if name not in ours or _is_used(session, name)]


def _is_used(session: Session, name: str) -> bool:
    if name == "alembic_version":
        return False
    seeded = " WHERE role <> 'import'" if name == "users" else ""
    return bool(session.scalar(text(f"SELECT EXISTS (SELECT FROM {name}{seeded})")))  # noqa: S608 - our own tables


def make_optuna_schema(session: Session) -> None:
    """Create the schema of tuning studies if it does not exist."""
    session.execute(text(f"CREATE SCHEMA IF NOT EXISTS {OPTUNA}"))


def schema(session: Session) -> str | None:
    """The schema of Sortline's tables, the first in the role's search path; None: there is none."""
    found: str | None = session.scalar(text("SELECT quote_ident(current_schema())"))
    return found


def clear(session: Session) -> None:
    """Drop everything of Sortline's; afterwards a backup of the same schema can be loaded."""
    ours = schema(session)
    for each in filter(None, (OPTUNA, ours)):
        session.execute(text(f"DROP SCHEMA IF EXISTS {each} CASCADE"))
    if ours == PUBLIC:
        session.execute(text(f"CREATE SCHEMA {PUBLIC}"))  # a backup makes every other schema


def move_store(session: Session, before: str, after: str) -> None:
    """Change the addresses of what is in the model store to its new place."""
    where = {"before": before.rstrip("/"), "after": after.rstrip("/")}
    for table, column in (
        ("model_versions", "checkpoint_uri"), ("model_forms", "uri"), ("snapshots", "uri"),
        ("tuned_parameters", "report_uri"),
    ):  # fmt: skip
        session.execute(text(_MOVE.format(table=table, column=column)), where)
    session.execute(_MOVE_REPORTS, where)
