"""sortline dead: dead letters, the entries that could not be classified."""

import json
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from db.models import DeadLetter
from db.queries import dead_letters
from db.session import session
from sortline.errors import NotFoundError
from sortline.home import account
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import get_settings
from worker.requeue import requeue as send_again


@click.group()
def command() -> None:
    """List or requeue dead letters: entries that could not be classified."""


@command.command("list")
@click.option("--reason")
@click.option("--limit", default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def list_(reason: str | None, limit: int, as_json: bool) -> None:
    """List dead letters that have not been requeued, newest first."""
    with session(get_settings().postgres_url) as opened:
        letters = dead_letters.listing(opened, reason, limit)
    if as_json:
        click.echo(json.dumps([_describe(letter) for letter in letters]))
        return
    table = Table("id", "lane", "source", "document", "reason", "attempts", "detail", box=None)
    for letter in letters:
        table.add_row(
            str(letter.id), letter.lane, letter.source, letter.external_id, letter.reason, str(letter.attempts),
            letter.detail[:80],
        )  # fmt: skip
    Console().print(table if letters else "no dead letters")


@command.command()
@click.argument("ids", nargs=-1, type=int)
@click.option("--reason", help="Requeue all with this reason.")
@click.option("--all", "every", is_flag=True, help="Requeue all.")
@click.option("--json", "as_json", is_flag=True)
def requeue(ids: tuple[int, ...], reason: str | None, every: bool, as_json: bool) -> None:
    """Put dead letters back on the queue exactly as they were sent."""
    if bool(ids) + bool(reason) + every != 1:
        raise click.UsageError("give ids, --reason or --all")
    settings = get_settings()
    with session(settings.postgres_url) as opened, connect(settings.redis) as client:
        missing = sorted(set(ids) - dead_letters.waiting(opened, ids))
        if missing:
            raise NotFoundError(
                f"there is no dead letter to requeue with id {', '.join(map(str, missing))}; see `sortline dead list`"
            )
        queue = DocumentQueue(client, settings)
        requeued = send_again(opened, queue, account(), reason, ids or None)
    click.echo(json.dumps({"requeued": requeued}) if as_json else f"{requeued:,} requeued")


def _describe(letter: DeadLetter) -> dict[str, object]:
    names: Sequence[str] = ("id", "lane", "entry_id", "source", "external_id", "reason", "detail", "attempts")
    return {name: getattr(letter, name) for name in names} | {"created_at": letter.created_at.isoformat()}
