"""A `sortline` command called in the test's own process, with the test's settings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import pytest
from click.testing import CliRunner

from sortline.settings import Settings, get_settings
from tests.conftest import environment

Run = Callable[..., str]


@contextmanager
def invoking(command: click.Command, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Gives a function that calls the command, returns what it prints, and raises what it raises."""
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(command, arguments)
        if done.exception is not None:
            raise done.exception
        return done.output.strip()

    yield run
    get_settings.cache_clear()
