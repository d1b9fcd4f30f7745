"""sortline tokens: tokens for the HTTP API."""

import json
import re
import secrets
from datetime import datetime, timedelta

import click

from db.models import ApiToken
from db.queries import api_tokens
from db.session import session
from db.token_hash import hashed
from sortline.home import account
from sortline.settings import get_settings

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_MOST_DAYS = 3650


def _span(_context: click.Context, _param: click.Parameter, given: str | None) -> timedelta | None:
    """A time span such as 12h, 90d or 8w."""
    if given is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,5})([hdw])", given.strip())
    span = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta.max
    if span > timedelta(days=_MOST_DAYS):
        raise click.BadParameter(
            f"{given!r} is not a time span: give one such as 12h, 90d or 8w, at most {_MOST_DAYS:,} days"
        )
    return span


@click.group()
def command() -> None:
    """Add, list and revoke API tokens."""


@command.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(api_tokens.SCOPES),
    help="What the token may do. Default: documents (send, read, flag). models: train and promote.",
)
@click.option(
    "--expires",
    "lasts",
    callback=_span,
    metavar="SPAN",
    help="When it expires, such as 12h, 90d or 8w. Default: never.",
)
def add(name: str, scopes: tuple[str, ...], lasts: timedelta | None) -> None:
    """Create a token and print it. It is shown only now: Sortline stores its hash alone."""
    token = f"sl_{secrets.token_urlsafe(32)}"
    digest, given = hashed(token), scopes or api_tokens.DEFAULT_SCOPES
    with session(get_settings().postgres_url) as opened:
        api_tokens.add(opened, name, digest, given, account(), lasts)
        opened.commit()
    click.echo(token)


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
def list_(as_json: bool) -> None:
    """List tokens by name: what each may do, when it expires and when it was last used."""
    with session(get_settings().postgres_url) as opened:
        tokens = api_tokens.listing(opened)
    if as_json:
        click.echo(json.dumps([_row(token) for token in tokens]))
        return
    for token in tokens:
        click.echo(f"{token.name}: {', '.join([*token.scopes, *_details(token)])}")


@command.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke a token; it stops working within seconds."""
    with session(get_settings().postgres_url) as opened:
        api_tokens.revoke(opened, name, account())
        opened.commit()


def _row(token: ApiToken) -> dict[str, object]:
    return {
        "name": token.name,
        "scopes": token.scopes,
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at and token.expires_at.isoformat(),
        "used_at": token.used_at and token.used_at.isoformat(),
        "revoked": bool(token.revoked_at),
    }


def _details(token: ApiToken) -> list[str]:
    if token.revoked_at:
        return ["revoked"]
    expires = []
    if token.expires_at:
        ended = token.expires_at <= datetime.now(token.expires_at.tzinfo)
        expires = [f"{'expired' if ended else 'expires'} {_minute(token.expires_at)}"]
    return [*expires, f"last used {_minute(token.used_at)}" if token.used_at else "never used"]


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M %Z").strip()
