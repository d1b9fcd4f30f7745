"""sortline restore: load a backup into empty servers."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from sortline.home import account
from sortline.settings import Settings, get_settings


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--force", is_flag=True, help="Replace what is in the database, Redis and the model store.")
@click.option(
    "--erased", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What was erased since the backup: a file with the output of `sortline erase --list`.",
)  # fmt: skip
def command(folder: Path, force: bool, erased: Path | None) -> None:
    """Restore the backup in FOLDER to the configured servers and model store. Stop all Sortline processes first."""
    from housekeeping.restore import restore

    settings = get_settings()
    lines = erased.read_text(encoding="utf-8").splitlines() if erased else []
    with _servers(settings):
        manifest = restore(
            settings, folder, account(), force, lines, lambda what: click.echo(f"restoring {what}", err=True)
        )
    click.echo(f"restored the backup of {manifest.made_at}; now start the processes")


def _servers(settings: Settings) -> AbstractContextManager[None]:
    if not settings.embedded:
        return nullcontext()
    from sortline.cli.supervisor import servers

    return servers(settings, alone=True)
