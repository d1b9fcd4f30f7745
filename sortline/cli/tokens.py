"""sortline tokens: API tokens of the HTTP door."""

import hashlib
import json
import secrets

import click

from db.queries import api_tokens
from db.session import session
from sortline.settings import get_settings

_SCOPES = ("documents", "models", "erase")
_DEFAULT = ("documents", "models")  # what destroys is given by name


@click.group()
def command() -> None:
    """API tokens: add, list, revoke."""


@command.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(_SCOPES),
    help="What it may do; by default documents and models.",
)
def add(name: str, scopes: tuple[str, ...]) -> None:
    """Make a token and print it, once; only its hash is kept."""
    token = f"sl_{secrets.token_urlsafe(32)}"
    with session(get_settings().postgres_url) as opened:
        api_tokens.add(opened, name, hashlib.sha256(token.encode()).digest(), scopes or _DEFAULT)
        opened.commit()
    click.echo(token)


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
def list_(as_json: bool) -> None:
    """List tokens by name."""
    with session(get_settings().postgres_url) as opened:
        tokens = api_tokens.listing(opened)
    if as_json:
        rows = [
            {"name": t.name, "scopes": t.scopes, "created_at": t.created_at.isoformat(), "revoked": bool(t.revoked_at)}
            for t in tokens
        ]
        click.echo(json.dumps(rows))
        return
    for token in tokens:
        click.echo(f"{token.name}: {', '.join(token.scopes)}{', revoked' if token.revoked_at else ''}")


@command.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke a token; it stops working within seconds."""
    with session(get_settings().postgres_url) as opened:
        api_tokens.revoke(opened, name)
        opened.commit()
