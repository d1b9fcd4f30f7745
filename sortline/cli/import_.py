"""sortline import: labelled files into the database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from db.session import session
from sortline.settings import get_settings

if TYPE_CHECKING:
    from trainer.import_file import ImportReport

_SHOWN = 20


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--text-column", "texts", multiple=True, help="Text column; several are joined.")
@click.option("--label-column", "label", default="", help="Label column.")
@click.option("--id-column", "id_", default="", help="Column of ids; by default the text's hash.")
@click.option("--no-header", is_flag=True, help="The file has no header; columns are named 1, 2, 3, ...")
@click.option("--encoding", default="", help="Found by its byte-order mark, or UTF-8, if not named.")
@click.option("--source", default="import", show_default=True, help="Source of the documents.")
@click.option("--split", type=click.Choice(["train", "validation", "test"]), help="Split of the new examples.")
@click.option("--keep-near-duplicates", is_flag=True, help="Let training texts repeat held-out ones.")
@click.option("--strict", is_flag=True, help="Import nothing if any row is bad.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: Path, texts: tuple[str, ...], label: str, id_: str, no_header: bool, encoding: str, source: str,
    split: str | None, keep_near_duplicates: bool, strict: bool, as_json: bool,
) -> None:  # fmt: skip
    """Import labelled examples from FILE: CSV, TSV, JSONL or Parquet.

    Bad rows are reported by line and left out; the same file again adds nothing.
    """
    from sortline.cli.progress import bar
    from trainer.import_file import import_file
    from trainer.readers import Columns

    columns = Columns(texts, label, id_, not no_header)
    with session(get_settings().postgres_url) as opened, bar(f"importing {file.name}") as update:
        report = import_file(opened, file, columns, source, encoding, split, keep_near_duplicates, strict, update)
        opened.commit()
    for line, reason in report.bad[:_SHOWN]:
        click.echo(f"{file}: line {line}: {reason}", err=True)
    if len(report.bad) > _SHOWN:
        click.echo(f"{file}: and {len(report.bad) - _SHOWN:,} more bad rows", err=True)
    click.echo(json.dumps(report.to_dict()) if as_json else _summary(report))


def _summary(report: "ImportReport") -> str:
    lines = [
        f"{report.rows:,} rows in {report.seconds:g} s: "
        f"{report.documents:,} new documents, {report.reviews:,} new labels"
    ]
    if report.bad:
        lines.append(f"bad rows: {len(report.bad):,}, not imported")
    if report.repeated:
        lines.append(f"repeated rows: {report.repeated:,}, {report.contradictions:,} of them with another label")
    shares = ", ".join(f"{name} {count:,}" for name, count in sorted(report.splits.items())) or "none new"
    return "\n".join([*lines, f"splits: {shares}"])
