"""sortline dead: entries that could not be classified."""

import json
from collections.abc import Iterator, Sequence

import click
import redis
from rich.console import Console
from rich.table import Table
from sqlalchemy.orm import Session

from db.models import DeadLetter
from db.queries import dead_letters
from db.session import session
from sortline.errors import NotFoundError
from sortline.settings import Settings, get_settings
from worker.queue import check_lane, connect, reaching, unpack_entry

_PAGE = 100


@click.group()
def command() -> None:
    """Dead letters: list, requeue."""


@command.command("list")
@click.option("--reason")
@click.option("--limit", default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def list_(reason: str | None, limit: int, as_json: bool) -> None:
    """List dead letters that were not requeued, newest first."""
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
@click.option("--reason", help="All of this reason.")
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--json", "as_json", is_flag=True)
def requeue(ids: tuple[int, ...], reason: str | None, every: bool, as_json: bool) -> None:
    """Send dead letters again, as they were sent."""
    if bool(ids) + bool(reason) + every != 1:
        raise click.UsageError("name ids, or --reason, or --all")
    settings = get_settings()
    client = connect(settings)
    with session(settings.postgres_url) as opened, reaching(client), client:
        requeued = sum(_requeue(opened, client, settings, page) for page in _pages(opened, ids, reason))
    click.echo(json.dumps({"requeued": requeued}) if as_json else f"{requeued:,} requeued")


def _pages(opened: Session, ids: Sequence[int], reason: str | None) -> Iterator[Sequence[DeadLetter]]:
    """Letters to requeue, some at a time: a letter can hold a mebibyte."""
    if ids:
        letters = dead_letters.by_ids(opened, ids)
        missing = sorted(set(ids) - {letter.id for letter in letters})
        if missing:
            raise NotFoundError(f"no dead letter waits with id {', '.join(map(str, missing))}")
        yield letters
        return
    while letters := dead_letters.listing(opened, reason, _PAGE):
        yield letters
        opened.expunge_all()


def _requeue(opened: Session, client: redis.Redis, settings: Settings, letters: Sequence[DeadLetter]) -> int:
    requeued = 0
    for letter in letters:
        if not dead_letters.hold(opened, letter.id):  # erased, or requeued by another
            opened.rollback()
            continue
        # By hand, not by a dict: an entry may hold a field twice.
        fields = [part for field in unpack_entry(letter.raw) for part in field]
        if fields:  # XADD takes no empty entry, and there is nothing to classify in one
            stream = settings.stream(check_lane(letter.lane))
            client.execute_command("XADD", stream, "*", *fields)  # type: ignore[no-untyped-call]
        dead_letters.mark_requeued(opened, letter.id)
        opened.commit()  # one by one: a crash sends a letter twice at most, and never loses one
        requeued += 1
    return requeued


def _describe(letter: DeadLetter) -> dict[str, object]:
    names: Sequence[str] = ("id", "lane", "entry_id", "source", "external_id", "reason", "detail", "attempts")
    return {name: getattr(letter, name) for name in names} | {"created_at": letter.created_at.isoformat()}
