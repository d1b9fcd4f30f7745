"""`python -m monitoring.flower`: Flower on Celery's broker, with the settings' address, port and password.

Flower becomes this very process, with a Celery app that knows the broker and loads no model library
(monitoring/flower_app.py). It gets the password through its environment, because every user of the machine can read a
command line.
"""

import logging
import os
import sys

from sortline.errors import ConfigurationError, ServerUnreachableError, SortlineError
from sortline.home import make_home
from sortline.listening import check, is_loopback
from sortline.logs import set_up_logging
from sortline.redis_check import check_broker
from sortline.settings import get_settings

log = logging.getLogger(__name__)

_MAX_TASKS = 10_000  # micro-batches kept in memory; Flower's own 100,000 take hundreds of megabytes


def command(host: str, port: int) -> list[str]:
    """The command line of Flower, which listens on ``host`` and ``port``."""
    # To Flower, `::` means IPv6 alone; without an address it listens on all of both kinds.
    address = "" if host == "::" else host
    return [
        sys.executable, "-m", "celery", "-A", "monitoring.flower_app", "flower", f"--address={address}",
        f"--port={port}", f"--max-tasks={_MAX_TASKS}",
    ]  # fmt: skip


def environment(*, host: str, path: str, password: str | None) -> dict[str, str]:
    """The environment of Flower: this process's own, the path and the password.

    Args:
        host: the address that it listens on.
        path: the path that its pages lie under; empty: at the root.
        password: user:password; None: it asks for none.

    Raises:
        ConfigurationError: other machines could reach Flower without a password, and Flower can stop workers.
    """
    # Flower reads FLOWER_* itself; the path is in the spelling of the settings, as FLOWER_URL has it.
    added = {"FLOWER_URL_PREFIX": path.strip("/")}
    # These two are on the command line. Kubernetes sets FLOWER_PORT=tcp://... for a service called flower.
    kept = {name: value for name, value in os.environ.items() if name not in {"FLOWER_PORT", "FLOWER_ADDRESS"}}
    if password:
        if not all(":" in pair for pair in password.split(",")):
            raise ConfigurationError("SORTLINE_FLOWER_BASIC_AUTH must be user:password")
        added["FLOWER_BASIC_AUTH"] = password
    elif not is_loopback(host):
        raise ConfigurationError(f"Flower on {host} needs a password: set SORTLINE_FLOWER_BASIC_AUTH to user:password")
    return {**kept, **added}


def main() -> None:
    """Become Flower; exit 1 if the settings forbid it."""
    try:
        settings = get_settings()
        make_home(settings.data_dir)
        arguments = command(settings.flower_host, settings.flower_port)
        variables = environment(host=settings.flower_host, path=settings.flower_path, password=settings.flower_password)
        set_up_logging(settings.log_level, settings.log_format)
        check(settings.flower_host, settings.flower_port, "FLOWER")
        check_broker(settings.broker)
    except ServerUnreachableError as error:
        log.error("%s", error)  # Flower keeps trying
    except SortlineError as error:
        sys.exit(f"flower: {error}")
    os.execve(arguments[0], arguments, variables)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
