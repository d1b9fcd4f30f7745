"""sortline export: write documents with their predictions and decisions to a file."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from db.queries import document_search, search_behind
from db.session import session
from sortline.cli.progress import bar
from sortline.counted import counted
from sortline.errors import ConfigurationError, InvalidInputError
from sortline.home import account
from sortline.settings import get_settings
from sortline.whole_file import whole_file
from web.documents.export import export, what_leaves
from web.documents.export_formats import FORMATS
from web.documents.filters import DECISION_REASONS, parse_filters

_TELL_EVERY = 500
_FILTERS: dict[str, tuple[str, Any]] = {
    "words": ('Full text: "a phrase", or, -without.', click.STRING),
    "source": ("Source of the documents.", click.STRING),
    "id": ("Id of a document at its source.", click.STRING),
    "since": ("Received on or after this day or time (UTC).", click.STRING),
    "until": ("Received up to and including this day, or before this time (UTC).", click.STRING),
    "predicted": ("Label of the newest prediction.", click.STRING),
    "decision": ("The model's decision.", click.Choice(("accept", "review"))),
    "confidence_from": ("Lowest confidence, in per cent.", click.STRING),
    "confidence_to": ("Highest confidence, in per cent.", click.STRING),
    "fit_from": ("Lowest fit, in per cent: how probable it is that any label fits.", click.STRING),
    "fit_to": ("Highest fit, in per cent.", click.STRING),
    "version": ("Number of the model version.", click.STRING),
    "state": ("Waiting for a person, decided by one, or neither.", click.Choice(document_search.STATES)),
    "decided": ("Label that a person decided.", click.STRING),
    "reviewer": ("Who decided.", click.STRING),
    "reason": ("Why it is waiting, or was decided.", click.Choice(DECISION_REASONS)),
    "texts": (
        "For each document its newest text, or all its texts. [default: the newest and the decided]",
        click.Choice(("newest", "all")),
    ),
}


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    for name, (said, kind) in reversed(_FILTERS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=said)(command)
    return command


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), help="Default: from the file's name.")
@_filters
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(file: Path, kind: str | None, as_json: bool, **asked: str | None) -> None:
    """Write the documents that match the filters to FILE (`-`: standard output), newest first; without filters, all.

    FILE appears only when it is complete. With `-` the summary goes to standard error.
    """
    given = {name: value for name, value in asked.items() if value}
    try:
        filters = what_leaves(parse_filters(given), given)
    except InvalidInputError as error:
        raise click.UsageError(str(error)) from None
    kind = kind or _kind_of(file)
    if file.exists() and not file.is_file():
        raise click.UsageError(f"{file} is not a regular file; for standard output give -")
    began, documents = time.monotonic(), 0
    with session(get_settings().postgres_url) as opened, bar("exporting") as update:
        behind = search_behind.behind(opened) if filters.words else None
        total = document_search.count(opened, filters, sys.maxsize)

        def on_document(count: int) -> None:
            nonlocal documents
            documents = count
            if count % _TELL_EVERY == 0 and count < total:
                update(count, total)

        made = export(opened, filters, kind, given, account(), on_document)
        with _open(file) as out, closing(made) as pieces:
            for piece in pieces:
                out.write(piece)
        update(documents, documents)
    seconds = round(time.monotonic() - began, 3)
    said = {"documents": documents, "format": kind, "file": str(file), "seconds": seconds}
    if behind is not None:
        said |= {"search_behind": behind.documents, "search_behind_s": behind.seconds}
    to_stderr = str(file) == "-"
    click.echo(
        json.dumps(said) if as_json else f"{counted(documents, 'document')} in {seconds:g} s, as {FORMATS[kind].title}",
        err=to_stderr,
    )
    if behind is not None and behind.documents and not as_json:
        missed = counted(behind.documents, "newer document")
        click.echo(f"the words of {missed} could not be searched yet; export again in a moment", err=True)


def _kind_of(file: Path) -> str:
    for kind, each in FORMATS.items():
        if file.name.lower().endswith(each.ending) or (kind == "jsonl" and file.suffix.lower() == ".ndjson"):
            return kind
    raise click.UsageError(f"the name {file.name} does not tell the format; give --format, one of {', '.join(FORMATS)}")


@contextmanager
def _open(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with whole_file(file.resolve()) as out:
            yield out
    except OSError as error:
        raise ConfigurationError(f"{file} can't be written: {error.strerror or error}") from None
