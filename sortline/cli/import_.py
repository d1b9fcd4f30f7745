"""sortline import: load a labelled file into the database."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from db.queries import audit
from db.session import session
from sortline.cli.file_options import file_options
from sortline.counted import counted
from sortline.errors import ServerUnreachableError
from sortline.files.opening import Asked
from sortline.home import account
from sortline.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sortline.files.survey import Survey
    from trainer.data.import_file import ImportReport
    from trainer.data.preview import Preview

_SHOWN = 20
_REFUSED = 3  # exit code: done, but some rows were refused


@click.command("import")
@file_options
@click.option("--source", default="", help="Source of the documents. [default: import]")
@click.option(
    "--split", type=click.Choice(["train", "validation", "test"]), help="Put all new examples into this split."
)
@click.option("--keep-near-duplicates", is_flag=True, help="Assign each text to a split by its own hash alone.")
@click.option("--fold-labels", "fold", is_flag=True, help="Read labels that look alike (Refund, refund) as one.")
@click.option("--none-label", default="", metavar="NAME", help="This label means that no label fits.")
@click.option("--strict", is_flag=True, help="Import nothing if any row is refused.")
@click.option("--dry-run", is_flag=True, help="Show how the file would be read; store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: Path, asked: Asked, source: str, split: str | None, keep_near_duplicates: bool, fold: bool, none_label: str,
    strict: bool, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Import the labelled examples in FILE.

    FILE is CSV, TSV, JSON lines, a JSON array, Parquet, an Excel workbook, or an export of Label Studio, Argilla,
    doccano, Prodigy or fastText; it may be packed with gzip or zip. Rows that can't be read with certainty are refused
    one by one. Importing the same file again adds nothing. Exit code 3: done, but some rows were refused.
    """
    if dry_run:
        _dry_run(file, asked, source, fold, none_label, as_json)
        return
    from sortline.cli.progress import bar
    from trainer.data.import_file import import_file

    settings = get_settings()
    said: list[str] = []

    def warn(survey: "Survey") -> None:
        """Print what looks wrong before anything is stored."""
        said.extend(survey.doubts)
        _print_doubts(file, survey.doubts)

    with session(settings.postgres_url) as opened, bar(f"importing {file.name}") as update:
        report = import_file(
            opened, file, asked, source, split, keep_near_duplicates, strict, fold, settings.base_model, update, warn,
            none_label=none_label,
        )  # fmt: skip
        found = {name: count for name, count in report.to_dict().items() if isinstance(count, int)}
        audit.note(opened, account(), "imported", "import", {"file": file.name, **found})
        opened.commit()
    _print_doubts(file, [doubt for doubt in report.doubts if doubt not in said])
    _refusals(file, report.refused, report.bad)
    click.echo(json.dumps(report.to_dict()) if as_json else _summary(report))
    sys.exit(_REFUSED if report.refused else 0)


def _print_doubts(file: Path, doubts: "Sequence[str]") -> None:
    for doubt in doubts:
        click.echo(f"{file}: {doubt}", err=True)


def _refusals(file: Path, refused: int, bad: "list[tuple[int, str]] | tuple[tuple[int, str], ...]") -> None:
    for line, reason in bad[:_SHOWN]:
        click.echo(f"{file}: line {line}: {reason}", err=True)
    if refused > _SHOWN:
        click.echo(f"{file}: {counted(refused - _SHOWN, 'more row')} refused", err=True)


def _summary(report: "ImportReport") -> str:
    lines = [
        report.shape,
        *report.notes,
        f"{counted(report.rows, 'row')} in {report.seconds:g} s: "
        f"{counted(report.documents, 'new document')}, {counted(report.reviews, 'new label')}",
    ]
    if report.none_fits:
        lines.append(f"rows that no label fits: {report.none_fits:,}")
    if report.refused:
        unlabelled = f", {report.unlabelled:,} of them without a label" if report.unlabelled else ""
        lines.append(f"refused rows: {report.refused:,}{unlabelled} (not imported)")
    if report.repeated:
        lines.append(f"repeated rows: {report.repeated:,}, {report.contradictions:,} of them with another label")
    shares = ", ".join(f"{name} {count:,}" for name, count in sorted(report.splits.items())) or "no new examples"
    return "\n".join([*lines, f"splits: {shares}"])


def _dry_run(file: Path, asked: Asked, source: str, fold: bool, none_label: str, as_json: bool) -> None:
    from sortline.cli.progress import bar
    from trainer.data.preview import preview

    settings = get_settings()
    with bar(f"reading {file.name}") as update:
        try:
            with session(settings.postgres_url) as opened:
                found = preview(opened, file, asked, source, fold, settings.base_model, update, none_label=none_label)
        except ServerUnreachableError:
            found = preview(None, file, asked, source, fold, settings.base_model, update, none_label=none_label)
    click.echo(json.dumps(found.to_dict()) if as_json else "\n".join(_previewed(file, found)))
    if found.wrong or found.guess or not found.examples:
        sys.exit(1)
    sys.exit(_REFUSED if found.refused or found.unlabelled else 0)


def _previewed(file: Path, found: "Preview") -> list[str]:
    lines = [f"{file}: {found.shape}", *(f"  {why}" for why in found.why)]
    if found.wrong:
        return [*lines, f"  {found.wrong}", "nothing was stored"]
    if found.guess:
        lines.append(f"  the encoding is a guess; if this reads correctly, give --encoding {found.guess}:")
        lines += [f"    {sample}" for sample in found.samples]
    labels = sum(each.state != "none fits" for each in found.labels)
    lines.append(
        f"{counted(found.rows, 'row')}: {counted(found.examples, 'example')} of {counted(labels, 'label')}, "
        f"{found.unlabelled:,} without a label, {found.refused:,} refused"
    )
    if found.none_fits:
        lines.append(f"  examples that no label fits: {found.none_fits:,}")
    if found.repeated:
        lines.append(f"  repeats of another row: {found.repeated:,}; the last one counts")
    if found.known:
        lines.append(f"  examples already stored: {found.known:,}")
    if found.known is None:
        lines.append("  Postgres can't be reached, so the file was not compared with what is already stored")
    if found.near_duplicates:
        lines.append(f"  texts that nearly repeat another in the file: {found.near_duplicates:,}")
    if not found.has_labels:
        lines.append(f"  there are no labels; to have the texts classified, run `sortline enqueue {file}`")
    lines += [f"  line {line}: {reason}" for line, reason in found.bad[:_SHOWN]]
    if found.refused > _SHOWN:
        lines.append(f"  {counted(found.refused - _SHOWN, 'more row')} refused")
    lines += [f"  ! {doubt}" for doubt in found.doubts]
    lines += [f"  label {each.name}: {each.count:,} ({each.state}{f' into {each.into}' if each.into else ''})"
              for each in found.labels[:_SHOWN]]  # fmt: skip
    if len(found.labels) > _SHOWN:
        lines.append(f"  and {counted(len(found.labels) - _SHOWN, 'more label')}")
    lines += [f"  “{' '.join(text.split())[:70]}” → {label or 'no label'}" for text, label in found.first]
    return [*lines, "nothing was stored"]
