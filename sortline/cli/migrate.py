"""sortline migrate: upgrade the database to the newest schema."""

import click

from migrations.upgrade import migrate
from sortline.settings import get_settings


@click.command()
@click.option("--revision", default="head", show_default=True, help="Schema revision; `base` drops all tables.")
def command(revision: str) -> None:
    """Upgrade the database to the newest schema."""
    before, after = migrate(get_settings().postgres_url, revision)
    click.echo(f"database: {before or 'empty'} -> {after or 'empty'}")
