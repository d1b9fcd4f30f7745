"""sortline enqueue: documents from a file onto the queue."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

import click

from sortline.cli.progress import counting
from sortline.client import Client, Document
from sortline.document_files import BadRow, kind_of, read_documents
from sortline.settings import LANES, Lane, get_settings

_BATCH = 500
_PATIENCE_S = 10.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--lane", type=click.Choice(LANES), default="bulk", show_default=True)
@click.option("--source", default="default", show_default=True, help="Source of rows that name none.")
@click.option("--format", "kind", type=click.Choice(["csv", "tsv", "jsonl", "lines"]), help="By default from the name.")
@click.option("--text-column", default="text", show_default=True)
@click.option("--id-column", default="id", show_default=True, help="Rows without an id get a hash of their text.")
@click.option("--url", help="Send over HTTP to this address, instead of straight onto the stream.")
@click.option("--token", envvar="SORTLINE_TOKEN", help="API token, for --url.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: Path, lane: Lane, source: str, kind: str | None, text_column: str, id_column: str, url: str | None,
    token: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Send the documents of FILE (CSV, TSV, JSONL or a text a line; `-`: standard input)."""
    settings = get_settings()
    client = Client(url or settings.redis, token, settings.prefix, settings.max_backlog, patience=_PATIENCE_S)
    began = time.monotonic()
    with client, _open(file) as lines, counting(f"sending {file.name}", "documents") as on_sent:
        rows = read_documents(lines, kind or kind_of(file), source, text_column, id_column)
        sent, bad = _send(client, rows, lane, file.name, on_sent)
    seconds = round(time.monotonic() - began, 3)
    if as_json:
        click.echo(json.dumps({"sent": sent, "bad": bad, "lane": lane, "seconds": seconds}))
    else:
        click.echo(f"{sent:,} documents sent to lane {lane} in {seconds:g} s, {bad:,} bad rows")
    sys.exit(1 if bad else 0)


def _send(
    client: Client,
    rows: Iterable[Document | BadRow],
    lane: Lane,
    name: str,
    on_sent: Callable[[int], None],
) -> tuple[int, int]:
    waiting: list[Document] = []
    sent = bad = 0
    for row in rows:
        if isinstance(row, BadRow):
            bad += 1
            click.echo(f"{name}: line {row.line}: {row.reason}", err=True)
            continue
        waiting.append(row)
        if len(waiting) == _BATCH:
            sent += client.send(waiting, lane)
            waiting.clear()
            on_sent(sent)
    return sent + client.send(waiting, lane), bad


def _open(file: Path) -> TextIO:
    if str(file) == "-":
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape", newline="")  # type: ignore[union-attr]
        return sys.stdin
    try:
        return file.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
