"""What `sortline status` prints for people; with --json it is not loaded."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from db.queries.search_behind import SAID_FROM_S
from sortline import training_progress
from sortline.counted import counted
from sortline.reports import intakes_said, model_versions


def _training(training: dict[str, Any]) -> str:
    if training["run"] is None:
        return "no training yet"
    said = f"training run {training['run']} {training['state']}"
    progress = training["progress"]
    if training["state"] == "running" and "stage" in progress:
        said += f": {training_progress.said(progress)}"
        if "steps" in progress:
            said += f", loss {progress['loss']:.3f} ({training_progress.plan(progress)})"
    if training["error"]:
        said += f": {training['error']}"
    if training["model_version"]:
        said += f": model version {training['model_version']}"
        said += f", gate: {training['verdict']}" if training["verdict"] else ""
    if training["retrain_after"] and training["state"] not in ("waiting", "running"):
        said += f"; {training['decisions']:,} of the {training['retrain_after']:,} new decisions that start the next"
    return said


def _print_shortcomings(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    for each in found:
        said = escape(f"model version {each['model_version']}: {each['said']}")
        console.print(f"[yellow]{said}[/]\n  {escape(each['do'])}")


def _worker(worker: dict[str, Any]) -> str:
    versions, intakes = model_versions(worker), intakes_said(worker)
    name = f"worker {worker['pid']} on {worker['host']}{f', {intakes}' if intakes else ''}"
    model = f"model version{'s' if len(versions) > 1 else ''} {' and '.join(map(str, versions))}"
    state = f"{model} on {worker['engine']}" if versions else "no model loaded"
    return f"{name}: {state}, {worker['documents_per_s']:,.1f} documents/s"


def _about(found: dict[str, Any], figure: str) -> str:
    return "about " if figure in found["estimated"] else ""


def print_status(found: dict[str, Any]) -> None:
    """Print the figures of `monitoring.status.line_status`."""
    console = Console(soft_wrap=True, highlight=False)
    lanes = Table("lane", "backlog", "oldest", box=None)
    for lane, state in found["lanes"].items():
        oldest = "" if state["oldest_s"] is None else f"{state['oldest_s']:,.1f} s"
        lanes.add_row(lane, f"{state['backlog']:,}", oldest)
    console.print(lanes)
    console.print(f"pending {found['pending']:,}, dead letters {_about(found, 'dead')}{found['dead']:,}")
    console.print(f"{found['rate']:,.1f} documents/s in the last minute")
    starter = ", a starter: it suggests labels and accepts nothing" if found["starter"] else ""
    console.print(f"active model version {found['active_model'] or 'none'}{starter}")
    if found["note"]:
        console.print(f"[yellow]{escape(found['note'])}[/]")
        if not found["active_model"]:
            console.print(
                "  Run `sortline labels add` and decide documents at the desk, or `sortline import FILE`; then"
            )
            console.print("  `sortline train`.")
    console.print(escape(_training(found["training"])))
    if found["search_behind_s"] > SAID_FROM_S:
        documents, seconds = found["search_behind"], found["search_behind_s"]
        console.print(
            f"not found by words yet: {counted(documents, 'document')}, the oldest stored {seconds:,.0f} s ago"
        )
    if found["queue"]:
        waiting_for = ", ".join(
            f"{_about(found, f'queue.{reason}')}{count:,} {reason.replace('_', ' ')}"
            for reason, count in found["queue"].items()
        )
        console.print(f"waiting for a person: {waiting_for}")
    for worker in found["workers"]:
        console.print(_worker(worker))
    _print_shortcomings(console, found["shortcomings"])
    for alarm in found["alarms"]:
        console.print(f"[yellow]{escape(alarm['said'])}[/]\n  {escape(alarm['do'])} [dim]({alarm['name']})[/]")
