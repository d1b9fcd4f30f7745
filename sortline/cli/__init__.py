"""The command line: `sortline COMMAND`. Each command is loaded only when it is called, so that all start fast."""

import sys
from importlib import import_module

import click

from sortline import __version__
from sortline.errors import ConfigurationError, SortlineError
from sortline.logs import set_up_logging

_COMMANDS = {
    "backup": "sortline.cli.backup",
    "classify": "sortline.cli.classify",
    "dead": "sortline.cli.dead",
    "demo": "sortline.cli.demo",
    "doctor": "sortline.cli.doctor",
    "enqueue": "sortline.cli.enqueue",
    "erase": "sortline.cli.erase",
    "export": "sortline.cli.export",
    "import": "sortline.cli.import_",
    "migrate": "sortline.cli.migrate",
    "models": "sortline.cli.models",
    "restore": "sortline.cli.restore",
    "retention": "sortline.cli.retention",
    "status": "sortline.cli.status",
    "tokens": "sortline.cli.tokens",
    "train": "sortline.cli.train",
    "tune": "sortline.cli.tune",
    "up": "sortline.cli.up",
    "users": "sortline.cli.users",
    "webhooks": "sortline.cli.webhooks",
}


_OURS = {"sortline", "web", "worker", "trainer", "classifier", "migrations", "db", "keeping"}


class _Commands(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        try:
            command: click.Command = import_module(_COMMANDS[name]).command
        except ModuleNotFoundError as error:
            return _not_installed(name, error)
        return command


def _not_installed(name: str, error: ModuleNotFoundError) -> click.Command:
    """A command whose libraries are in an extra that is not installed: it is listed, and refuses when it is called."""
    library = str(error.name).partition(".")[0]
    if library in _OURS:
        raise error
    message = f"`sortline {name}` needs {library}, which is not installed; `sortline doctor` says how to install it"

    def refuse(arguments: tuple[str, ...]) -> None:
        raise ConfigurationError(message)

    return click.Command(
        name,
        callback=refuse,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        help=f"Not installed here: needs {library}.",
    )


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sortline")
def cli() -> None:
    """Sortline: documents in, labels with honest confidences out, nothing lost."""
    from sortline.home import make_home
    from sortline.settings import get_settings
    from sortline.traces import set_up as set_up_traces

    settings = get_settings()
    make_home(settings.data_dir)
    set_up_logging(settings.log_level, settings.log_format)
    set_up_traces(settings.traces_url, "command-line")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 wrong usage."""
    try:
        cli(prog_name="sortline")
    except SortlineError as error:
        click.echo(f"sortline: {error}", err=True)
        sys.exit(1)
