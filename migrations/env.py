"""Alembic's entry point: runs the migrations on the given connection, or on the settings' database."""

from alembic import context
from sqlalchemy import Connection

from db.connection import get_engine
from db.models import Table
from sortline.settings import get_settings


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Table.metadata, compare_server_default=False)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with get_engine(get_settings().postgres_url).begin() as connection:
        _run(connection)
