"""sortline enqueue: put the documents of a file on the queue."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from sortline.cli.file_options import file_options
from sortline.cli.progress import counting
from sortline.client import Client, Document
from sortline.counted import counted
from sortline.document_rows import document_of
from sortline.errors import ImportFileError, InvalidDocumentError, ServerUnreachableError
from sortline.files.encodings import refused_guess
from sortline.files.opening import Asked, opened, texts_alone
from sortline.files.rows import Row
from sortline.files.standard_input import streamed_rows
from sortline.redis_check import check_documents
from sortline.settings import LANES, Lane, get_settings

_BATCH = 500
_PATIENCE_S = 10.0
_HTTP_S = 30.0  # of a request: the web answers when Redis has written to its disk
_SHOWN = 1_000
_REFUSED = 3  # exit code: done, but some rows were refused


@click.command()
@file_options
@click.option("--lane", type=click.Choice(LANES), default="bulk", show_default=True)
@click.option("--source", default="default", show_default=True, help="Source of rows that don't name one.")
@click.option("--url", help="Send to this address over HTTP instead of writing to the Redis stream.")
@click.option("--token", envvar="SORTLINE_TOKEN", help="API token, for --url.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: Path, asked: Asked, lane: Lane, source: str, url: str | None, token: str | None, as_json: bool
) -> None:
    """Send the documents in FILE (`-`: standard input) to be classified.

    FILE is CSV, TSV, JSON lines, a JSON array, Parquet, an Excel workbook, or one text per line. Labels in it are not
    sent. With `-` and --format lines or jsonl each line is sent as it arrives. Exit code 3: done, but some rows were
    refused.
    """
    settings, asked = get_settings(), texts_alone(asked)
    if url is None:
        with suppress(ServerUnreachableError):  # the client waits for it
            check_documents(settings.redis)
    to, seconds = (url, _HTTP_S) if url else (settings.redis, _PATIENCE_S)
    client = Client(to, token, settings.prefix, settings.max_backlog, seconds, _PATIENCE_S)
    began = time.monotonic()
    with client, _rows(file, asked, show=not as_json) as rows, counting(f"sending {file.name}", "documents") as on_sent:
        sent, bad = _send(client, rows, source, lane, file.name, on_sent)
    seconds = round(time.monotonic() - began, 3)
    if as_json:
        click.echo(json.dumps({"sent": sent, "bad": bad, "lane": lane, "seconds": seconds}))
    else:
        click.echo(f"{counted(sent, 'document')} sent to lane {lane} in {seconds:g} s, {counted(bad, 'row')} refused")
    sys.exit(_REFUSED if bad else 0)


def _send(
    client: Client, rows: Iterable[Row], source: str, lane: Lane, name: str, on_sent: Callable[[int], None]
) -> tuple[int, int]:
    waiting: list[Document] = []
    sent = bad = 0
    for row in rows:
        try:
            waiting.append(document_of(row, source))
        except InvalidDocumentError as error:
            bad += 1
            if bad <= _SHOWN:
                click.echo(f"{name}: line {row.line}: {error}", err=True)
            continue
        if len(waiting) == _BATCH:
            sent += client.send(waiting, lane)
            waiting.clear()
            on_sent(sent)
    if bad > _SHOWN:
        click.echo(f"{name}: {counted(bad - _SHOWN, 'more row')} refused", err=True)
    return sent + client.send(waiting, lane), bad


@contextmanager
def _rows(file: Path, asked: Asked, show: bool) -> Iterator[Iterable[Row]]:
    """The rows of a file.

    Args:
        show: print how it is read, before the first row.
    """
    if str(file) != "-":
        with opened(file, asked) as reading:
            if reading.encoding.guess:
                raise ImportFileError(refused_guess(file, reading.encoding))
            if show and not reading.wrong:
                click.echo("\n".join([reading.shape, *reading.why]))
            yield reading.rows()
    elif asked.kind in ("lines", "jsonl"):
        yield streamed_rows(sys.stdin.buffer, asked)
    else:
        with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
            kept = Path(folder) / "standard input"
            with kept.open("wb") as target:
                shutil.copyfileobj(sys.stdin.buffer, target)
            with _rows(kept, asked, show) as rows:
                yield rows
