"""What Sortline's own processes listen on: how an address is written, and why one can't be had."""

import errno
import ipaddress
import os
import socket

from sortline.errors import ConfigurationError, PortTakenError

_WAITING = 2048  # connections that were not accepted yet
_LACKING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def url_of(host: str, port: int) -> str:
    """Address for a browser on this machine: an IPv6 address in brackets, the loopback where all addresses serve."""
    address = _as_address(host)
    if address is not None and address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether nobody on another machine reaches what listens there."""
    address = _as_address(host)
    return host == "localhost" if address is None else address.is_loopback


def bind(host: str, port: int, name: str) -> list[socket.socket]:
    """Sockets bound to all addresses of a host; `::` takes IPv4 too, where the machine has both.

    Args:
        name: of the settings, as WEB.

    Raises:
        PortTakenError: another program listens there.
        ConfigurationError: the host is unknown, or not of this machine, or the port is not for this user.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ConfigurationError(
            f"this machine can't find an address for {host!r}: set SORTLINE_{name}_HOST to an address of its own"
        ) from None
    made: list[socket.socket] = []
    failed: list[OSError] = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            made.append(_bound(socket.socket(family, kind, protocol), address))
        except OSError as error:
            failed.append(error)
    # A name may stand for an address that the machine lacks (localhost, without IPv6); the rest of it serves.
    if failed and not (made and all(error.errno in _LACKING for error in failed)):
        _close(made)
        raise _refusal(failed[-1], host, port, name) from None
    return made


def taken(host: str, port: int, name: str, by: str = "another program") -> PortTakenError:
    """The error that says so of a port, and what to do."""
    return PortTakenError(
        f"port {port} of {host} is taken by {by}: end it, or set SORTLINE_{name}_PORT to a port that is free"
    )


def listen(host: str, port: int, name: str) -> list[socket.socket]:
    """Sockets as `bind` makes them, that listen: from now on nobody else can have the port.

    Raises:
        PortTakenError, ConfigurationError: as `bind`.
    """
    made = bind(host, port, name)
    try:
        for each in made:
            each.listen(_WAITING)
    except OSError as error:  # two may have bound it, where neither listened yet
        _close(made)
        raise _refusal(error, host, port, name) from None
    return made


def check(host: str, port: int, name: str) -> None:
    """See whether `bind` would succeed now.

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
        return ConfigurationError(f"port {port} is not for this user: set SORTLINE_{name}_PORT to one from 1024 on")
    if error.errno in _LACKING:
        return ConfigurationError(f"this machine lacks the address {host}: set SORTLINE_{name}_HOST to one of its own")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ConfigurationError(f"{host} with port {port} (SORTLINE_{name}_HOST, _PORT) can't be used: {reason}")


def _as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
