"""sortline up: run everything on this machine."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click
from honcho.printer import Message, Printer

from sortline.child import Sink
from sortline.cli.ends import Ends
from sortline.cli.interrupt import stop_signals, wait_for_signal
from sortline.cli.supervisor import PROCFILE, Supervisor
from sortline.log_files import LogFiles
from sortline.settings import get_settings

_COLOURS = ("cyan", "yellow", "green", "magenta", "red", "blue")


@click.command()
@click.option("--only", help="Processes to run, separated by commas. Default: all.")
@click.option(
    "--procfile", type=click.Path(path_type=Path), default=PROCFILE, help="Run the processes of this file instead."
)
@click.option("--verbose", is_flag=True, help="Show every line that the processes write.")
def command(only: str | None, procfile: Path, verbose: bool) -> None:
    """Run Sortline on this machine until Ctrl-C: every process, and embedded servers where no URL is set.

    It shows what runs where and then only important events; everything else is in logs/ under the data folder.
    """
    settings = get_settings()
    logs = LogFiles(settings.data_dir.resolve() / "logs")
    terminal = _Terminal(logs)
    ends = Ends(terminal.say, logs.path)
    supervisor = Supervisor(settings, lambda name, line: None, only.split(",") if only else None, procfile, ends.take)
    supervisor.sink = _sink(logs, terminal.say, _printer(supervisor.names) if verbose else None)
    asked, stopping = stop_signals(), threading.Event()

    def watch() -> None:
        from sortline.cli.overview import Overview  # imported while the processes start, as it takes a second

        Overview(settings, supervisor, ends, terminal.say, terminal.whisper, logs.folder).run(stopping)

    try:
        supervisor.start(asked)
        threading.Thread(target=watch, name="overview", daemon=True).start()
        wait_for_signal(asked)
        terminal.say("stopping")
    except KeyboardInterrupt:
        terminal.say("stopping: it was asked to before everything had started")
    finally:
        stopping.set()
        supervisor.stop()
        logs.close()


def _sink(logs: LogFiles, say: Callable[[str], None], printer: Sink | None) -> Sink:
    def sink(name: str, line: str) -> None:
        if name == "up":  # the supervisor's own lines are all important
            say(line)
            return
        logs.write(name, line)
        if printer is not None:
            printer(name, line)

    return sink


class _Terminal:
    """Shows important events with the time; if the terminal is gone, Sortline keeps running."""

    def __init__(self, logs: LogFiles) -> None:
        self._logs = logs
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Show a sentence and write it to up.log."""
        self._logs.write("up", f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}")
        self.whisper(text)

    def whisper(self, text: str) -> None:
        """Show a sentence without writing it to a file."""
        with self._lock, suppress(OSError):
            click.echo(f"{datetime.now():%H:%M:%S} {text}")


def _printer(names: list[str]) -> Sink:
    printer = Printer(sys.stdout, width=max(map(len, names)), colour=sys.stdout.isatty())
    shown = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}

    def write(name: str, line: str) -> None:
        message = Message(type="line", data=line + "\n", time=datetime.now(), name=name, colour=shown.get(name))
        with suppress(OSError):
            printer.write(message)

    return write
