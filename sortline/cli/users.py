"""sortline users: the people who sign in to the web."""

import json

import click

from db.queries import people, second_factors
from db.session import session
from sortline.home import account
from sortline.settings import get_settings

_role = click.option("--role", type=click.Choice(people.ROLES), default="reviewer", show_default=True)


@click.group()
def command() -> None:
    """Web users: reviewers decide documents, leads also manage models and trainings, admins manage everything."""


@command.command()
@click.argument("name")
@_role
def add(name: str, role: str) -> None:
    """Add a person and print a sign-in link. It works once, within a day; the person then chooses a password."""
    with session(get_settings().postgres_url) as opened:
        user = people.add(opened, name, role, account())
        token = people.make_link(opened, user, account())
        opened.commit()
    click.echo(_address(token))


@command.command()
@click.argument("name")
def link(name: str) -> None:
    """Print a new sign-in link for a person. It works once, within a day."""
    with session(get_settings().postgres_url) as opened:
        token = people.make_link(opened, people.by_name(opened, name), account())
        opened.commit()
    click.echo(_address(token))


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
def list_(as_json: bool) -> None:
    """List people by name."""
    with session(get_settings().postgres_url) as opened:
        found = people.listing(opened)
    if as_json:
        rows = [
            {
                "name": user.name,
                "role": user.role,
                "password": user.password_hash is not None,
                "second_factor": user.totp_since is not None,
                "disabled": user.disabled_at is not None,
                "created_at": user.created_at.isoformat(),
            }
            for user in found
        ]
        click.echo(json.dumps(rows))
        return
    for user in found:
        click.echo(f"{user.name}: {user.role}{', disabled' if user.disabled_at else ''}")


@command.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(people.ROLES))
def set_role(name: str, role: str) -> None:
    """Change a person's role."""
    with session(get_settings().postgres_url) as opened:
        people.set_role(opened, name, role, account())
        opened.commit()


@command.command()
@click.argument("name")
def reset_second_factor(name: str) -> None:
    """Remove a lost second factor so that the person can sign in without it; their sessions end."""
    with session(get_settings().postgres_url) as opened:
        second_factors.remove(opened, people.by_name(opened, name).id, account(), reset=True)
        opened.commit()


@command.command()
@click.argument("name")
def disable(name: str) -> None:
    """Lock a person out at once; their decisions stay."""
    _set_disabled(name, True)


@command.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let a person sign in again."""
    _set_disabled(name, False)


def _set_disabled(name: str, disabled: bool) -> None:
    with session(get_settings().postgres_url) as opened:
        people.set_disabled(opened, name, disabled, account())
        opened.commit()


def _address(token: str) -> str:
    return f"{get_settings().web_address}/sign-in/{token}"
