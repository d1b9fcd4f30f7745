"""sortline labels: the classes into which documents are sorted, with guidelines and example texts."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import click
from sqlalchemy.orm import Session

from db.models import Label
from db.queries import label_examples, labels, merge_labels, new_labels
from db.queries.new_labels import NewLabel, Plan
from db.session import session
from sortline.errors import ImportFileError, NotFoundError
from sortline.files.encodings import known_name
from sortline.files.kinds import KIND_NAMES, Sniffed, sniff
from sortline.files.label_cells import has_markup
from sortline.home import account
from sortline.label_meaning import HINT, says_nothing
from sortline.settings import get_settings

_LINE_END = re.compile(r"\r\n|\r|\n")
_OF_A_TABLE = re.compile(r'".*"|.*[\[{]')  # a quoted cell, or the begin of a JSON array or object
_json = click.option("--json", "as_json", is_flag=True)
_guideline = click.option("--guideline", metavar="TEXT", help="What belongs to the label, in Markdown.")
_guideline_file = click.option(
    "--guideline-file", metavar="FILE", type=click.File("r", encoding="utf-8"), help="Read the guideline from FILE."
)
_example = click.option("--example", "examples", metavar="TEXT", multiple=True, help="A text that belongs to it.")


@click.group()
def command() -> None:
    """Manage labels: the classes into which documents are sorted, with guidelines and example texts."""


@command.command()
@click.argument("names", nargs=-1)
@click.option("--file", "file", metavar="FILE", type=click.File("rb"), help="A label a line (`-`: standard input); a "
              "guideline may follow after a tab.")  # fmt: skip
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of FILE.")
@_guideline
@_guideline_file
@_example
@click.option("--anyway", is_flag=True, help="Add names that look like other labels, too.")
@_json
def add(
    names: tuple[str, ...],
    file: IO[bytes] | None,
    encoding: str,
    guideline: str | None,
    guideline_file: IO[str] | None,
    examples: tuple[str, ...],
    anyway: bool,
    as_json: bool,
) -> None:
    """Add labels, usable at once. Exit code 3: some were refused; a label that is there already is left as it is."""
    if bool(names) == (file is not None):
        raise click.UsageError("give names or --file")
    text = _text(guideline, guideline_file)
    if (text or examples) and (len(names) != 1):
        raise click.UsageError("a guideline and examples need exactly one name; use `sortline labels describe` later")
    given = [NewLabel(name, text or "", examples) for name in names] if file is None else list(_lines(file, encoding))
    if not given:
        raise click.UsageError("the list holds no label")
    with session(get_settings().postgres_url) as opened:
        made = new_labels.plan(opened, given, anyway)
        new_labels.add(opened, made.new, account())
        opened.commit()
    _say_added(made, as_json)
    if made.refused:
        sys.exit(3 if made.new or made.there else 1)


@command.command("list")
@click.option("--all", "every", is_flag=True, help="Archived and merged labels too.")
@_json
def list_(every: bool, as_json: bool) -> None:
    """List the labels in use, by name."""
    with session(get_settings().postgres_url) as opened:
        examples = label_examples.by_label(opened)
        rows = [row for row in labels.listing(opened) if every or row.archived_at is None]
        found = [_described(opened, row, examples.get(row.id, [])) for row in rows]
    if as_json:
        click.echo(json.dumps(found))
        return
    for each in found:
        state = f" ({each['state']})" if each["state"] != "in use" else ""
        first = next(iter(str(each["guideline"]).splitlines()), "no guideline")
        count = len(each["examples"])
        shown = f"; {count} example{'' if count == 1 else 's'}" if count else ""
        click.echo(f"{each['name']}{state}: {first[:100]}{shown}")
    if not found:
        click.echo("there are no labels; add some with `sortline labels add NAME...`")


@command.command()
@click.argument("name")
@_guideline
@_guideline_file
@_example
@click.option("--remove-example", "numbers", type=int, multiple=True, help="Remove the example with this number.")
@click.option("--remove-examples", "remove_all", is_flag=True, help="Remove all its examples.")
@click.option("--sensitive/--not-sensitive", default=None, help="Whether its texts are blurred on all pages.")
@_json
def describe(
    name: str,
    guideline: str | None,
    guideline_file: IO[str] | None,
    examples: tuple[str, ...],
    numbers: tuple[int, ...],
    remove_all: bool,
    sensitive: bool | None,
    as_json: bool,
) -> None:
    """Set a label's guideline (an empty TEXT removes it), add or remove examples, and print what is then known."""
    text = _text(guideline, guideline_file)
    if numbers and remove_all:
        raise click.UsageError("give --remove-example or --remove-examples")
    with session(get_settings().postgres_url) as opened:
        label = _named(opened, name)
        if text is not None or sensitive is not None:
            kept = label.sensitive if sensitive is None else sensitive
            labels.describe(opened, label.id, label.description if text is None else text, kept, account())
        if numbers or remove_all:
            chosen = None if remove_all else _numbered(opened, label, numbers)
            label_examples.remove(opened, label.id, chosen, account())
        label_examples.add(opened, label.id, examples, account())
        opened.commit()
        found = _described(opened, label, [each.text for each in label_examples.of_label(opened, label.id)])
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{found['name']} ({found['state']}{', sensitive' if found['sensitive'] else ''})")
    click.echo(found["guideline"] or "no guideline")
    for number, example in enumerate(found["examples"], start=1):
        click.echo(f"example {number}: {example}")


@command.command()
@click.argument("name")
@click.option("--bring-back", is_flag=True, help="Put an archived label in use again.")
@_json
def archive(name: str, bring_back: bool, as_json: bool) -> None:
    """Archive a label: nobody can choose it, and trainings leave its decisions out, until it is brought back."""
    with session(get_settings().postgres_url) as opened:
        label = labels.set_archived(opened, _named(opened, name).id, not bring_back, account())
        opened.commit()
    state = "in use" if bring_back else "archived"
    click.echo(json.dumps({"name": label.name, "state": state}) if as_json else f"{label.name} is {state}")


@command.command()
@click.argument("name")
@click.argument("into", required=False)
@click.option("--undo", is_flag=True, help="Bring a merged label back with its own decisions.")
@_json
def merge(name: str, into: str | None, undo: bool, as_json: bool) -> None:
    """Let the decisions for the label NAME count as the label INTO; NAME is archived."""
    if undo == (into is not None):
        raise click.UsageError("give INTO, or --undo")
    with session(get_settings().postgres_url) as opened:
        label_id = _named(opened, name).id
        if into is None:
            done = merge_labels.undo_merge(opened, label_id, account())
        else:
            done = merge_labels.merge(opened, label_id, _named(opened, into).id, account())
        opened.commit()
    if as_json:
        click.echo(json.dumps({"name": done.label, "into": None if undo else done.into, "events": done.events}))
        return
    said = f"{done.label} is in use again" if undo else f"decisions for {done.label} now count as {done.into}"
    click.echo(f"{said}; other systems get {done.events:,} event{'' if done.events == 1 else 's'}")


def _text(guideline: str | None, file: IO[str] | None) -> str | None:
    """The guideline that was given; None: none was.

    Raises:
        ImportFileError: the file is not UTF-8.
    """
    if guideline is not None and file is not None:
        raise click.UsageError("give --guideline or --guideline-file")
    if file is None:
        return guideline
    try:
        return file.read().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ImportFileError(f"{Path(file.name).name} is not UTF-8 ({error.reason} at byte {error.start:,})") from None


def _lines(file: IO[bytes], encoding: str) -> Iterator[NewLabel]:
    """One label for each line that is not empty.

    Raises:
        ImportFileError: the encoding is unknown, the file is in another one, or it is no list of names; the message
            names the line.
    """
    name = known_name(encoding)
    if Path(str(file.name)).is_file() and (found := sniff(Path(str(file.name)))) != Sniffed(None):
        what = f"a {found.packed} file" if found.packed else KIND_NAMES[found.kind] if found.kind else "no text"
        raise ImportFileError(f"{Path(file.name).name} is {what}; give a text file with one label on each line")
    raw = file.read()
    try:
        text = raw.decode(name).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        said = f"is not {name.removesuffix('-sig')} (byte 0x{raw[error.start]:02X}); give its --encoding"
        raise ImportFileError(f"line {line:,} of the list {said}") from None
    for number, each in enumerate(_LINE_END.split(text), start=1):
        if each.strip():
            label, _, guideline = each.partition("\t")
            if has_markup(label.strip()) or _OF_A_TABLE.fullmatch(label.strip()):
                raise ImportFileError(
                    f"line {number:,} of the list is not a plain name ({label.strip()[:60]}); give one name on each "
                    "line, without quotes or brackets"
                )
            yield NewLabel(label, guideline)


def _named(opened: Session, name: str) -> Label:
    """The label with that name, archived ones included.

    Raises:
        NotFoundError: there is none.
    """
    found = labels.id_named(opened, name)
    if found is None:
        near = [label for _, label in labels.alike(opened, name)]
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise NotFoundError(f"there is no label {name[:100]!r}{meant}")
    return labels.get(opened, found)


def _numbered(opened: Session, label: Label, numbers: Sequence[int]) -> list[int]:
    """Ids of examples by the numbers that `describe` prints."""
    ids = [each.id for each in label_examples.of_label(opened, label.id)]
    for number in numbers:
        if not 1 <= number <= len(ids):
            raise NotFoundError(f"the label {label.name} has no example {number}; it has {len(ids)}")
    return [ids[number - 1] for number in numbers]


def _described(opened: Session, label: Label, examples: Sequence[str]) -> dict[str, Any]:

    merged = labels.get(opened, label.merged_into_id).name if label.merged_into_id else None
    return {
        "id": label.id, "name": label.name, "state": "merged" if merged else "archived" if label.archived_at else
        "in use", "merged_into": merged, "guideline": label.description, "examples": list(examples),
        "sensitive": label.sensitive,
        "hint": HINT if says_nothing(label.name) and not (label.description or examples) else None,
    }  # fmt: skip


def _say_added(made: Plan, as_json: bool) -> None:
    unclear = [each.name for each in made.new if says_nothing(each.name) and not (each.guideline or each.examples)]
    if as_json:
        refused = [{"name": each.name, "reason": each.why, "alike": each.alike} for each in made.refused]
        added = [each.name for each in made.new]
        click.echo(json.dumps({"added": added, "already": made.there, "refused": refused, "unclear": unclear}))
        return
    click.echo(f"added {len(made.new):,}" + (f", {len(made.there):,} there already" if made.there else ""))
    for name in unclear:
        click.echo(f"{name}: {HINT}", err=True)
    for each in made.refused:
        advice = "; --anyway adds it all the same" if each.alike else ""
        click.echo(f"refused {each.name[:100]!r}: {each.why}{advice}", err=True)
