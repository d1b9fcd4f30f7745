"""sortline webhooks: HTTP addresses that receive events."""

import json

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from db.models import Webhook
from db.queries import webhooks
from db.queries.webhooks import Counts
from db.session import session
from sortline.counted import counted
from sortline.errors import TransientError
from sortline.events import KINDS
from sortline.home import account
from sortline.settings import get_settings


@click.group()
def command() -> None:
    """Manage webhooks: HTTP addresses that receive results, signed as Standard Webhooks."""


@command.command()
@click.argument("name")
@click.argument("url")
@click.option(
    "--source", "sources", multiple=True, help="Send events of this source's documents only. Repeatable. Default: all."
)
@click.option(
    "--event", "events", multiple=True, type=click.Choice(KINDS), help="Send this event only. Repeatable. Default: all."
)
def add(name: str, url: str, sources: tuple[str, ...], events: tuple[str, ...]) -> None:
    """Create a webhook and print the secret that signs its requests. The secret is shown only now."""
    from housekeeping.webhook_address import check_url, read_allowed

    settings = get_settings()
    check_url(url, read_allowed(settings.webhook_allowed))
    with session(settings.postgres_url) as opened:
        made = webhooks.add(opened, name, url, events or KINDS, sources or None, account())
        opened.commit()
        click.echo(made.secret)


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
def list_(as_json: bool) -> None:
    """List webhooks by name, with their state and waiting events."""
    with session(get_settings().postgres_url) as opened:
        found = webhooks.listing(opened)
    if as_json:
        click.echo(json.dumps([_describe(webhook, counts) for webhook, counts in found]))
        return
    table = Table("name", "url", "sources", "events", "state", "waiting", "dead", "last error", box=None)
    for webhook, counts in found:
        table.add_row(
            escape(webhook.name), escape(webhook.url), escape(", ".join(webhook.sources or ["all"])),
            ", ".join(webhook.events), webhook.state, f"{counts.waiting:,}", f"{counts.dead:,}",
            escape(webhook.paused_because or webhook.last_error or ""),
        )  # fmt: skip
    Console().print(table if found else "no webhooks")


@command.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a webhook and the events that wait for it."""
    with session(get_settings().postgres_url) as opened:
        webhooks.remove(opened, name, account())
        opened.commit()


@command.command()
@click.argument("name")
def pause(name: str) -> None:
    """Send nothing until it is resumed. Its events are kept for at most a week."""
    with session(get_settings().postgres_url) as opened:
        webhooks.pause(opened, name, account())
        opened.commit()


@command.command()
@click.argument("name")
def resume(name: str) -> None:
    """Resume a paused webhook and send its waiting events at once."""
    with session(get_settings().postgres_url) as opened:
        webhooks.resume(opened, name, account())
        opened.commit()


@command.command()
@click.argument("name")
@click.option("--keep-hours", default=24, show_default=True, type=click.IntRange(0, 24 * 30))
def rotate(name: str, keep_hours: int) -> None:
    """Create a new secret and print it, only now. The old secret signs too for --keep-hours."""
    with session(get_settings().postgres_url) as opened:
        secret = webhooks.rotate(opened, name, keep_hours, account())
        opened.commit()
    click.echo(secret)


@command.command()
@click.argument("name")
def test(name: str) -> None:
    """Send a signed `sortline.ping` now, from this machine. Exit code 1: it did not arrive."""
    from housekeeping.webhooks import ping

    settings = get_settings()
    with session(settings.postgres_url) as opened:
        webhook = webhooks.by_name(opened, name)
    error = ping(webhook, settings.webhook_allowed, settings.webhook_timeout_s)
    if error is not None:
        raise TransientError(f"the ping did not arrive: {error}")
    click.echo("the ping arrived")


@command.command()
@click.argument("name", required=False)
@click.option("--limit", default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def dead(name: str | None, limit: int, as_json: bool) -> None:
    """List events that could not be delivered and were given up, newest first."""
    with session(get_settings().postgres_url) as opened:
        webhook_id = None if name is None else webhooks.by_name(opened, name).id
        found = webhooks.dead(opened, webhook_id, limit)
    if as_json:
        click.echo(json.dumps([{**row._mapping, "ended_at": row.ended_at.isoformat()} for row in found]))
        return
    table = Table("id", "webhook", "event", "source", "document", "attempts", "error", box=None)
    for row in found:
        event = row.event
        table.add_row(
            str(row.id), escape(row.webhook), event["event"], escape(event["source"]), escape(event["id"]),
            str(row.attempts), escape(row.error or ""),
        )  # fmt: skip
    Console().print(table if found else "nothing was given up")


@command.command("send-again")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
def send_again(name: str, as_json: bool) -> None:
    """Send again the events that were given up."""
    with session(get_settings().postgres_url) as opened:
        sent = webhooks.send_again(opened, name, account())
        opened.commit()
    click.echo(json.dumps({"sent_again": sent}) if as_json else f"{counted(sent, 'event')} sent again")


def _describe(webhook: Webhook, counts: Counts) -> dict[str, object]:
    return {
        "name": webhook.name,
        "url": webhook.url,
        "sources": webhook.sources,
        "events": webhook.events,
        "state": webhook.state,
        "because": webhook.paused_because,
        "last_error": webhook.last_error,
        "last_success_at": webhook.last_success_at.isoformat() if webhook.last_success_at else None,
        "waiting": counts.waiting,
        "dead": counts.dead,
    }
