"""The ports that `sortline up` needs: can they be used, and if not, who has them?"""

import contextlib
from collections.abc import Container

import psutil

from sortline.errors import PortTakenError
from sortline.listening import check, taken
from sortline.settings import Settings


def check_ports(settings: Settings, names: Container[str]) -> None:
    """Check that the processes with these names can use their ports.

    Raises:
        PortTakenError: another program uses one, or two of ours would use the same one.
        ConfigurationError: this machine or this user can't use it.
    """
    listening = [
        (name.upper(), host, port)
        for name, host, port in (
            ("web", settings.web_host, settings.web_port),
            ("flower", settings.flower_host, settings.flower_port),
        )
        if name in names
    ]
    if len({port for _, _, port in listening}) < len(listening):
        port = settings.web_port
        raise PortTakenError(f"SORTLINE_WEB_PORT and SORTLINE_FLOWER_PORT are both {port}; set one to another port")
    for name, host, port in listening:
        try:
            check(host, port, name)
        except PortTakenError:
            raise taken(host, port, name, _holder(port)) from None


def _holder(port: int) -> str:
    """The program that listens on a port, as far as this user may see it."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            here = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,)
            if here and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"
