"""What the Postgres server says of itself."""

from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.orm import Session


def version(session: Session) -> tuple[int, int]:
    """Major and minor version."""
    number = int(setting(session, "server_version_num"))
    return number // 10000, number % 10000


def setting(session: Session, name: str) -> str:
    """A setting as it holds for this session."""
    return str(session.scalar(text("SELECT current_setting(:name)"), {"name": name}))


def revision(session: Session) -> str | None:
    """The schema's revision; None: no schema."""
    return MigrationContext.configure(session.connection()).get_current_revision()
