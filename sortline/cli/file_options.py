"""Options of every command that reads a file: its format, and which columns to read."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from sortline.files.columns import Columns
from sortline.files.opening import Asked, why_no_file
from sortline.files.quoting import QUOTINGS
from sortline.files.text_kinds import FORMATS

_OPTIONS = (
    click.argument("file", type=click.Path(path_type=Path)),
    click.option("--format", "kind", type=click.Choice(FORMATS), help="Default: recognised by the file's content."),
    click.option("--text-column", "texts", multiple=True, help="Text column. Repeatable: several are joined."),
    click.option("--label-column", "label", default="", help="Label column, or `none` to read texts alone."),
    click.option("--id-column", "id_", default="", help="Column of ids, or `none` to use a hash of the text."),
    click.option("--no-header", is_flag=True, help="The file has no header row; columns are named 1, 2, 3, ..."),
    click.option("--encoding", default="", help="Default: by its byte order mark, UTF-8 or UTF-16; give any other."),
    click.option("--delimiter", default="", help="comma, semicolon, tab, pipe, or any one character."),
    click.option("--quoting", default="", type=click.Choice(["", *QUOTINGS]), metavar="|".join(QUOTINGS),
                 help="How cells are quoted; none: a quote is an ordinary character."),
    click.option("--sheet", default="", help="Sheet of a workbook. Default: the first."),
)  # fmt: skip


def file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument FILE and these options; it receives them as ``file`` and ``asked``."""

    @wraps(command)
    def with_asked(
        file: Path, kind: str | None, texts: tuple[str, ...], label: str, id_: str, no_header: bool, encoding: str,
        delimiter: str, quoting: str, sheet: str, **more: Any,
    ) -> Any:  # fmt: skip
        if str(file) != "-" and not file.is_file():
            raise click.UsageError(f"{file}: {why_no_file(file)}")
        asked = Asked(Columns(texts, label, id_, not no_header), encoding, kind or "", delimiter, quoting, sheet)
        return command(file=file, asked=asked, **more)

    for option in reversed(_OPTIONS):
        with_asked = option(with_asked)
    return with_asked
