"""sortline demo: see Sortline work on sample data."""

import logging
from contextlib import closing
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from sortline.settings import Settings, get_settings


@click.command()
@click.option("--once", is_flag=True, help="Exit once the documents are classified.")
@click.option("--documents", default=2000, show_default=True, help="How many documents to send.")
@click.option("--unlabelled", is_flag=True, help="Begin with texts and names of labels alone; needs an empty folder.")
def command(once: bool, documents: int, unlabelled: bool) -> None:
    """Train a first model on the sample data, then send documents through Sortline."""
    if unlabelled:
        _unlabelled(once)
        return
    from sortline.cli import demo_run as demo
    from sortline.cli.ends import Ends
    from sortline.cli.progress import bar
    from sortline.cli.supervisor import running
    from sortline.log_files import LogFiles
    from sortline.queue import DocumentQueue
    from sortline.redis_client import connect

    settings, console = get_settings(), Console()
    logs = LogFiles(settings.data_dir / "logs")
    ends = Ends(lambda said: console.print(f"[yellow]{escape(said)}[/]", soft_wrap=True), logs.path)
    only = ["worker"] if once else None
    console.print(f"[bold]1[/] starting Postgres, Redis and Sortline's processes (logs: {logs.folder})")
    with closing(logs), running(settings, logs.write, only, ends.take):
        console.print("[bold]2[/] a first model: fine-tuning a pretrained BERT on 960 sample messages")
        with bar("   fine-tuning") as update:
            trained = demo.prepare_model(settings, lambda said: _show(console, update, said))
        if trained:
            console.print(f"   {escape(demo.choose_target(settings.postgres_url))}", highlight=False, soft_wrap=True)
            console.print("   (for messages like the sample's; of those that come now, one in eleven is vague)")
        else:
            console.print("   a model is active already; the demo uses it")
        console.print("[bold]3[/] waiting for the worker to load it")
        queue = DocumentQueue(connect(settings.redis), settings)
        engine = demo.wait_for_worker(queue, logs.path("worker"))
        sent = demo.incoming(documents)
        console.print(f"[bold]4[/] {len(sent):,} documents through the queue")
        with bar("   classified") as update:
            seconds = demo.run_documents(queue, [d for d, _ in sent], update)
        _summary(console, demo.summarise(settings.postgres_url, sent, seconds, engine))
        if once:
            console.print(
                "Next: `sortline demo` without --once keeps running; `sortline classify TEXT`; docs/ for your own data."
            )
        else:
            _stay(console, settings)


def _unlabelled(once: bool) -> None:
    from sortline.cli.demo_unlabelled import play
    from sortline.cli.ends import Ends
    from sortline.cli.supervisor import running
    from sortline.log_files import LogFiles
    from sortline.queue import DocumentQueue
    from sortline.redis_client import connect

    settings, console = get_settings(), Console()
    logging.getLogger("classifier").setLevel(logging.WARNING)
    logs = LogFiles(settings.data_dir / "logs")
    ends = Ends(lambda said: console.print(f"[yellow]{escape(said)}[/]", soft_wrap=True), logs.path)
    only = ["worker", "housekeeping", "beat"] if once else None
    console.print(f"starting Postgres, Redis and Sortline's processes (logs: {logs.folder})")
    with closing(logs), running(settings, logs.write, only, ends.take):
        queue = DocumentQueue(connect(settings.redis), settings)
        for found in play(settings, queue, lambda said: console.print(said, highlight=False, soft_wrap=True)):
            console.print(
                f"[bold]after {found.decided} decisions the starter answers {found.right:.1%} of 440 other texts "
                f"right[/] ({found.learnt} learnt, {found.seconds:.0f} s after the labels were named)",
                highlight=False,
                soft_wrap=True,
            )
        if not once:
            _stay(console, settings)


def _stay(console: Console, settings: Settings) -> None:
    """Say where the pages are, and run until Ctrl-C or SIGTERM."""
    from sortline.cli.demo_run import first_link
    from sortline.cli.interrupt import wait_for_signal

    link = first_link(settings.postgres_url, settings.web_address)
    console.print(f"Open: web {settings.web_address}   Flower {settings.flower_address}")
    console.print(f"Sign in as the first user (the link works once): {link}", soft_wrap=True)
    console.print(
        "In another terminal: .venv/bin/sortline status | classify TEXT | enqueue FILE. Ctrl-C stops everything."
    )
    wait_for_signal()
    console.print("stopping")


def _show(console: Console, update: Any, said: dict[str, Any]) -> None:
    if "step" in said:
        update(said["step"], said["steps"], f"loss {said['loss']:.3f}")
    elif "of" not in said:
        console.print(f"   [dim]{escape(said['stage'])}[/]", highlight=False)


def _summary(console: Console, outcome: Any) -> None:
    top = Table(show_header=False, box=None, padding=(0, 2))
    top.add_column(no_wrap=True)
    top.add_column()
    waiting = outcome.documents - outcome.accepted
    speed = f"[bold]{outcome.documents_per_s:,.0f} documents a second[/]"
    top.add_row("speed", f"{speed} ({outcome.engine}, from the first XADD to the last commit)")
    top.add_row(
        "accepted",
        f"{outcome.accepted:,} of {outcome.documents:,} ({outcome.accepted / outcome.documents:.0%})",
    )
    top.add_row("waiting for a person", f"{waiting:,}")
    top.add_row("correct, by the sample's true labels", f"{outcome.accuracy:.1%}")
    if outcome.accuracy_accepted is not None:
        top.add_row("correct among the accepted", f"{outcome.accuracy_accepted:.1%}")
    most = max(outcome.labels.values())
    labels = Table("label", "documents", "", box=None, padding=(0, 2))
    for label, count in outcome.labels.items():
        labels.add_row(label, f"{count:,}", "█" * max(1, round(24 * count / most)))
    console.print(Panel(top, title=f"model version {outcome.model_version}", expand=False))
    console.print(labels)
    console.print("\nThe messages are invented and similar; real ones are harder. README.md has figures on real data.")
