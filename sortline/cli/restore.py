"""sortline restore: a backup into empty servers."""

from pathlib import Path

import click

from sortline.settings import get_settings


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--force", is_flag=True, help="Replace what is in database, Redis and model store.")
@click.option(
    "--erased", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What was erased since the backup: the file that `sortline erase --list` wrote.",
)  # fmt: skip
def command(folder: Path, force: bool, erased: Path | None) -> None:
    """Fill the settings' servers and model store from FOLDER; no process of Sortline may run meanwhile."""
    from keeping.restore import restore
    from sortline.supervisor import servers

    settings = get_settings()
    lines = erased.read_text(encoding="utf-8").splitlines() if erased else []
    with servers(settings, alone=True):
        manifest = restore(settings, folder, force, lines, lambda what: click.echo(f"restoring {what}", err=True))
    click.echo(f"restored the backup of {manifest.made_at}; start the processes now")
