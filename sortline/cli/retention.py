"""sortline retention: how long documents are kept."""

import json

import click

from db.queries import erasure, retention
from db.session import session
from sortline.home import account
from sortline.settings import get_settings


@click.command()
@click.option("--label", help="Set how long this label's documents are kept.")
@click.option("--days", help="Number of days; 0 keeps them for ever; `default` uses the setting.")
@click.option("--json", "as_json", is_flag=True)
def command(label: str | None, days: str | None, as_json: bool) -> None:
    """Show how long each label's documents are kept, or set it for one label; housekeeping erases older ones."""
    if (label is None) != (days is None):
        raise click.UsageError("give --label and --days together, or neither")
    setting = get_settings().retention_days
    with session(get_settings().postgres_url) as opened:
        if label is not None and days is not None:
            if days != "default" and not (days.isascii() and days.isdigit()):
                raise click.UsageError("--days must be a number or `default`")
            kept = None if days == "default" else int(days)
            retention.set_days(opened, label, kept)
            erasure.note(opened, account(), "retention of a label", {"label": label, "days": kept})
            opened.commit()
        rows = retention.by_label(opened)
    if as_json:
        click.echo(json.dumps({"default": setting, "labels": dict(rows)}))
        return
    click.echo(f"all others: {_words(setting)}")
    for name, own in rows:
        if own is not None:
            click.echo(f"{name}: {_words(own)}")


def _words(days: int) -> str:
    return f"{days:,} days" if days else "for ever"
