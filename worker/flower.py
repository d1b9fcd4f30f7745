"""`python -m worker.flower`: Flower on Celery's broker, with the settings' address, port and password.

Flower becomes this very process, without our Celery apps, so that it loads no model library. Broker and
password go to it by its environment: a command line can be read by every user of the machine.
"""

import ipaddress
import os
import sys

from sortline.errors import ConfigurationError, SortlineError
from sortline.home import make_home
from sortline.settings import Settings, get_settings

_MAX_TASKS = 10_000  # micro-batches kept in memory; Flower's own 100,000 take hundreds of megabytes


def command(settings: Settings) -> list[str]:
    """The command line of Flower."""
    return [
        sys.executable, "-m", "celery", "flower", f"--address={settings.flower_host}",
        f"--port={settings.flower_port}", f"--max-tasks={_MAX_TASKS}",
    ]  # fmt: skip


def environment(settings: Settings) -> dict[str, str]:
    """The environment of Flower: this process's own, broker and password.

    Raises:
        ConfigurationError: it would be open to other machines without a password, though it can stop workers.
    """
    added = {"CELERY_BROKER_URL": settings.celery_broker}
    password = settings.flower_password
    if password:
        if not all(":" in pair for pair in password.split(",")):
            raise ConfigurationError("SORTLINE_FLOWER_BASIC_AUTH must be user:password")
        added["FLOWER_BASIC_AUTH"] = password
    elif not _is_loopback(settings.flower_host):
        raise ConfigurationError(
            f"Flower on {settings.flower_host} needs a password: set SORTLINE_FLOWER_BASIC_AUTH to user:password"
        )
    return {**os.environ, **added}


def main() -> None:
    """Become Flower; exit 1 where the settings forbid it."""
    try:
        settings = get_settings()
        make_home(settings)
        arguments, variables = command(settings), environment(settings)
    except SortlineError as error:
        sys.exit(f"worker.flower: {error}")
    os.execve(arguments[0], arguments, variables)  # noqa: S606 - no shell is wanted


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    main()
