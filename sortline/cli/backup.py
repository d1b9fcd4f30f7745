"""sortline backup: write everything that must not be lost into a folder."""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from db.queries import audit
from db.session import session
from sortline.home import account
from sortline.settings import Settings, get_settings


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--json", "as_json", is_flag=True)
def command(folder: Path, as_json: bool) -> None:
    """Back up Postgres, the Redis streams and the model store into FOLDER (new or empty) while Sortline runs.

    The backup contains the documents' texts unencrypted: keep it where they are allowed to be. It does not contain
    settings or secrets.
    """
    from housekeeping.backup import backup

    settings = get_settings()
    with _servers(settings):
        manifest = backup(settings, folder, lambda what: click.echo(f"copying {what}", err=True))
        with session(settings.postgres_url) as opened:
            audit.note(opened, account(), "backup made", "backup", {"counts": manifest.counts})
            opened.commit()
    if as_json:
        told = asdict(manifest)
        click.echo(json.dumps({**told, "parts": len(told["parts"])}))
        return
    counts = ", ".join(f"{name} {count:,}" for name, count in manifest.counts.items())
    click.echo(f"{folder}: Postgres, {counts}")
    if manifest.damaged:
        click.echo(f"damaged in the model store: version {', '.join(map(str, manifest.damaged))}", err=True)


def _servers(settings: Settings) -> AbstractContextManager[None]:
    if not settings.embedded:
        return nullcontext()
    from sortline.cli.supervisor import servers

    return servers(settings)
