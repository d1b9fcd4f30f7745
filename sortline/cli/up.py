"""sortline up: run everything here."""

import sys
from pathlib import Path

import click
from honcho.printer import Message, Printer

from sortline.settings import get_settings
from sortline.supervisor import PROCFILE, Supervisor, wait_for_signal


@click.command()
@click.option("--only", help="Processes to run, separated by commas; all by default.")
@click.option("--procfile", type=click.Path(path_type=Path), default=PROCFILE, help="Other processes to run.")
def command(only: str | None, procfile: Path) -> None:
    """Run the line here: embedded servers where no URL is set, and every process, until Ctrl-C."""
    settings = get_settings()
    names = only.split(",") if only else None
    supervisor = Supervisor(settings, lambda name, line: None, names, procfile)
    printer = Printer(sys.stdout, width=max(map(len, supervisor.names)), colour=sys.stdout.isatty())
    colours = ("cyan", "yellow", "green", "magenta", "red", "blue")
    shown = {name: colours[i % len(colours)] for i, name in enumerate(supervisor.names)}

    def sink(name: str, line: str) -> None:
        printer.write(_message(name, line + "\n", shown.get(name)))

    supervisor.sink = sink
    supervisor.start()
    sink("up", f"web http://{settings.web_host}:{settings.web_port}  (Ctrl-C stops everything)")
    try:
        wait_for_signal()
        sink("up", "stopping")
    finally:
        supervisor.stop()


def _message(name: str, line: str, colour: str | None) -> Message:
    from datetime import datetime

    return Message(type="line", data=line, time=datetime.now(), name=name, colour=colour)
