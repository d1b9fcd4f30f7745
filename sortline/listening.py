"""What Sortline's own processes listen on: how an address is written, and why one can't be used."""

import errno
import ipaddress
import os
import socket
import tempfile
from pathlib import Path

from sortline.errors import ConfigurationError, PortTakenError

_WAITING = 2048  # connections that wait to be accepted
# Bytes: a socket's path has at most 107, and this is followed by /sl-UID-NAME/postgres/.s.PGSQL.5432.
_LONGEST = 59
_LACKING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def url_of(host: str, port: int) -> str:
    """Address for a browser on this machine: an IPv6 address in brackets, and the loopback for all addresses."""
    address = _as_address(host)
    if address is not None and address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    address = _as_address(host)
    return host == "localhost" if address is None else address.is_loopback


def socket_place() -> Path:
    """The folder for temporary files; /tmp if its name is so long that Unix sockets in it could not be reached."""
    place = Path(tempfile.gettempdir())
    if len(os.fsencode(place)) <= _LONGEST:
        return place
    return Path("/tmp")  # noqa: S108  # nosec B108  # names in it are made private


def bind(host: str, port: int, name: str) -> list[socket.socket]:
    """Sockets bound to all addresses of a host; `::` includes IPv4 if the machine has both.

    Args:
        name: as in the settings' names, such as WEB.

    Raises:
        PortTakenError: another program listens there.
        ConfigurationError: the host is unknown or not this machine's, or this user may not use the port.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ConfigurationError(
            f"this machine can't find an address for {host!r}; set SORTLINE_{name}_HOST to one of its own addresses"
        ) from None
    made: list[socket.socket] = []
    failed: list[OSError] = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            made.append(_bound(socket.socket(family, kind, protocol), address))
        except OSError as error:
            failed.append(error)
    # A name may include an address that the machine lacks (localhost without IPv6); the others serve.
    if failed and not (made and all(error.errno in _LACKING for error in failed)):
        _close(made)
        raise _refusal(failed[-1], host, port, name) from None
    return made


def taken(host: str, port: int, name: str, by: str = "another program") -> PortTakenError:
    """The error for a port that is in use."""
    return PortTakenError(
        f"port {port} of {host} is taken by {by}; stop it, or set SORTLINE_{name}_PORT to a free port"
    )


def listen(host: str, port: int, name: str) -> list[socket.socket]:
    """Sockets as `bind` makes them, listening: from now on nobody else can use the port.

    Raises:
        PortTakenError, ConfigurationError: as `bind`.
    """
    made = bind(host, port, name)
    try:
        for each in made:
            each.listen(_WAITING)
    except OSError as error:  # two may have bound it before either listened
        _close(made)
        raise _refusal(error, host, port, name) from None
    return made


def check(host: str, port: int, name: str) -> None:
    """Check whether `bind` would succeed now.

    Raises:
        PortTakenError, ConfigurationError: as `bind`.
    """
    _close(bind(host, port, name))


def _close(made: list[socket.socket]) -> None:
    for each in made:
        each.close()


def _bound(made: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def _refusal(error: OSError, host: str, port: int, name: str) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return taken(host, port, name)
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigurationError(f"this user may not use port {port}; set SORTLINE_{name}_PORT to 1024 or higher")
    if error.errno in _LACKING:
        return ConfigurationError(f"this machine lacks the address {host}; set SORTLINE_{name}_HOST to one of its own")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ConfigurationError(f"{host} with port {port} (SORTLINE_{name}_HOST, _PORT) can't be used: {reason}")


def _as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
