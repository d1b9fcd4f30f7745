"""The command line: `sortline COMMAND`. Each command is loaded only when it is called, so that all start fast."""

import gc
import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from keyword import iskeyword

import click

from sortline import __version__
from sortline.errors import ConfigurationError, SortlineError
from sortline.logs import set_up_logging
from sortline.small_matrices import use_one_thread

log = logging.getLogger(__name__)

# What `sortline --help` says of each command, so that it need not load them.
_COMMANDS = {
    "backup": "Back up Postgres, the Redis streams and the model store into FOLDER (new or empty) while Sortline runs.",
    "classify": "Classify TEXT (`-`: standard input) in this process and print the result; nothing is stored.",
    "dead": "List or requeue dead letters: entries that could not be classified.",
    "demo": "Train a first model on the sample data, then send documents through Sortline.",
    "doctor": "Check libraries, Postgres, Redis, disk, model store, accelerators and base model.",
    "enqueue": "Send the documents in FILE (`-`: standard input) to be classified.",
    "erase": "Erase documents: texts, predictions, reviews, dead letters, events and queue entries.",
    "export": (
        "Write the documents that match the filters to FILE (`-`: standard output), newest first; without filters, all."
    ),
    "import": "Import the labelled examples in FILE.",
    "labels": "Manage labels: the classes into which documents are sorted, with guidelines and example texts.",
    "migrate": "Upgrade the database to the newest schema.",
    "models": "List, show, promote and roll back model versions; choose the form in which one serves, and what is "
    "promised.",
    "restore": "Restore the backup in FOLDER to the configured servers and model store.",
    "retention": (
        "Show how long each label's documents are kept, or set it for one label; housekeeping erases older ones."
    ),
    "status": "Show the backlog, workers, active model, training, dead letters and alarms.",
    "tokens": "Add, list and revoke API tokens.",
    "train": "Fine-tune on every labelled document, evaluate and calibrate.",
    "tune": (
        "Search for better parameters, judged on validation documents; later trainings use them if they are better."
    ),
    "up": "Run Sortline on this machine until Ctrl-C: every process, and embedded servers where no URL is set.",
    "users": "Web users: reviewers decide documents, leads also manage models and trainings, admins manage everything.",
    "webhooks": "Manage webhooks: HTTP addresses that receive results, signed as Standard Webhooks.",
}


_OURS = {"sortline", "web", "worker", "trainer", "classifier", "migrations", "db", "housekeeping", "monitoring"}


class _Commands(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name]) for name in self.list_commands(context)])

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        # What is loaded stays: collections meanwhile find nothing, and took a sixth of `sortline status`.
        gc.disable()
        try:
            with _redis_unmeasured():
                command: click.Command = import_module(module_of(name)).command
        except ModuleNotFoundError as error:
            return _not_installed(name, error)
        finally:
            gc.freeze()
            gc.enable()
        return command


@contextmanager
def _redis_unmeasured() -> Iterator[None]:
    """Let redis-py find no OpenTelemetry metrics in the block.

    Where they are installed (extra `traces`) it loads them so that it could measure itself, which nobody asks of it: an
    eighth of `sortline status`. What needs them gets them after the block.
    """
    metrics = "opentelemetry.sdk.metrics"
    if metrics in sys.modules:
        yield
        return
    # Python's own way to say that it can't be imported; mypy has it otherwise.
    sys.modules[metrics] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[metrics]


def module_of(name: str) -> str:
    """The module that holds a command."""
    return "sortline.cli." + (f"{name}_" if iskeyword(name) else name)


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
    use_one_thread()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # where the locale lacks characters
    try:
        cli(prog_name="sortline")
    except SortlineError as error:
        click.echo(f"sortline: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        said = _in_a_sentence(error)
        if said is None:
            raise
        log.debug("%s", error, exc_info=True)
        click.echo(f"sortline: {said}", err=True)
        sys.exit(1)


def _in_a_sentence(error: Exception) -> str | None:
    """What a server or a file refused in a place that expects no refusal; None: the error is another one."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    match type(error).__module__.partition(".")[0]:
        case "sqlalchemy" | "psycopg":
            from db.reading import first_line

            return f"Postgres did not do what it was asked: {first_line(error)}"
        case "redis" | "kombu":
            return f"Redis did not do what it was asked: {error}"
    return None
