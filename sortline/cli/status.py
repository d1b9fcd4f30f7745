"""sortline status: the state of the queue, workers, model and training."""

import json
from typing import Any

import click

from db.reading import reading
from monitoring.status import line_status
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings, get_settings


@click.command()
@click.option("--json", "as_json", is_flag=True)
@click.option("--show-secrets", is_flag=True, help="Show passwords in the URLs.")
def command(as_json: bool, show_secrets: bool) -> None:
    """Show the backlog, workers, active model, training, dead letters and alarms."""
    settings = get_settings()
    with reading(settings.postgres_url) as opened:
        found = line_status(opened, DocumentQueue(connect(settings.redis), settings), settings)
    if as_json:
        click.echo(json.dumps(_urls(settings, show_secrets) | found))
    else:
        from sortline.cli.status_text import print_status

        print_status(found)


def _urls(settings: Settings, show_secrets: bool) -> dict[str, Any]:
    redis, postgres = settings.redis, settings.postgres_url
    return {
        "redis_url": redis.url if show_secrets else str(redis),
        "database_url": postgres.url if show_secrets else str(postgres),
        "web_url": settings.web_address,
        "flower_url": settings.flower_address,
    }
