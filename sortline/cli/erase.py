"""sortline erase: remove documents from every store."""

import json
import sys
import time
from dataclasses import asdict

import click
import redis

from db.queries import erasure
from db.session import session
from sortline.cli.progress import bar
from sortline.home import account
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings, get_settings

_HELD_WITHIN_S = 10.0


@click.command()
@click.option("--source", help="Source of the documents that --id names.")
@click.option("--id", "ids", multiple=True, help="Id of a document; all its versions are erased. Repeatable.")
@click.option(
    "--meta", metavar="KEY=VALUE", help="Erase documents whose meta has this value; this reads all documents."
)
@click.option(
    "--dead-letter", "letters", multiple=True, type=int, help="Id of a dead letter whose document has no source and id."
)
@click.option("--yes", is_flag=True, help="Erase. Without this option only counts are shown.")
@click.option(
    "--rewrite/--no-rewrite",
    default=None,
    help="Rewrite the stores' files so that the bytes are gone too (default). Alone: for everything erased so far.",
)
@click.option("--prove", metavar="TEXT", help="Search the bytes of all files here for TEXT; exit code 1: it was found.")
@click.option(
    "--list", "list_", is_flag=True, help="Print the list that keeps erased documents from coming back, as JSON lines."
)
@click.option("--json", "as_json", is_flag=True)
def command(
    source: str | None, ids: tuple[str, ...], meta: str | None, letters: tuple[int, ...], yes: bool,
    rewrite: bool | None, prove: str | None, list_: bool, as_json: bool,
) -> None:  # fmt: skip
    """Erase documents: texts, predictions, reviews, dead letters, events and queue entries. This can't be undone.

    Sortline keeps running meanwhile; it waits while a table is rewritten.
    """
    from housekeeping.prove import find_bytes
    from sortline.redis_client import connect

    settings = get_settings()
    if list_:
        _print_list(settings.postgres_url)
        return
    if bool(ids) != bool(source) or bool(ids) + bool(meta) > 1 or (meta and "=" not in meta):
        raise click.UsageError("name documents by --source and --id, or by --meta KEY=VALUE")
    chooses = bool(ids or meta or letters)
    if not chooses and not rewrite and prove is None:
        raise click.UsageError("name documents by --source and --id, or by --meta KEY=VALUE")
    told: dict[str, object] = {}
    with connect(settings.redis, socket_timeout=60) as client:
        if chooses:
            told |= _erase(settings, client, source, ids, meta, letters, yes)
        if (yes and rewrite is not False) or (rewrite and not chooses):
            told["remarks"] = _rewrite(settings.postgres_url, client)
    if prove is not None:
        told["found_in"] = [str(path) for path in find_bytes(prove.encode(), settings.data_dir, settings.models)]
    click.echo(json.dumps(told) if as_json else _words(told, chooses and not yes))
    sys.exit(1 if told.get("found_in") else 0)


def _erase(
    settings: Settings, client: redis.Redis, source: str | None, ids: tuple[str, ...], meta: str | None,
    letters: tuple[int, ...], yes: bool,
) -> dict[str, object]:  # fmt: skip
    from housekeeping.erase import Chosen, Stores, choose_by_meta, count_chosen, erase, sweep

    stores = Stores(settings.postgres_url, client, settings.streams)
    chosen, how = Chosen([(source or "", each) for each in ids], letters), "source and id"
    if meta:
        key, _, value = meta.partition("=")
        found = choose_by_meta(stores, key, value)
        chosen, how = Chosen(found.names, (*found.letters, *letters)), "a value of meta"
    counts = count_chosen(stores, chosen)
    told = asdict(counts)
    if not yes:
        return {"would_erase": told}
    with bar("erasing") as update:
        erased = erase(stores, chosen, account(), how, lambda done: update(done, max(counts.names, 1)))
    swept, began = sweep(stores, settings.models), time.monotonic()
    while swept.held and time.monotonic() - began < _HELD_WITHIN_S:
        time.sleep(0.2)
        swept = sweep(stores, settings.models)
    return {"erased": {**asdict(erased), "waiting": counts.waiting}, "held": swept.held}


def _rewrite(address: PostgresAddress, client: redis.Redis) -> list[str]:
    from housekeeping.rewrite import rewrite_postgres, rewrite_redis

    return [*rewrite_postgres(address), *rewrite_redis(client)]


def _print_list(postgres: PostgresAddress) -> None:
    with session(postgres) as opened:
        for each in erasure.listing(opened):
            row = {"name_hash": each.name_hash.hex(), "before": each.before, "erased_at": each.erased_at.isoformat()}
            click.echo(json.dumps(row))


def _words(told: dict[str, object], dry: bool) -> str:
    lines = []
    counts = told.get("would_erase") or told.get("erased")
    if isinstance(counts, dict):
        said = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
        lines.append(f"would erase: {said}; add --yes to erase" if dry else f"erased: {said}")
    if told.get("held"):
        lines.append("workers still hold entries sent before this; housekeeping erases those later")
    remarks, found = told.get("remarks"), told.get("found_in")
    if isinstance(remarks, list):
        lines += ["the stores' files were rewritten", *(f"but: {remark}" for remark in remarks)]
    if isinstance(found, list):
        lines += [f"found in {path}" for path in found] or ["found in no file"]
    return "\n".join(lines)
