"""Where a webhook may lead: over https to addresses of the public internet, and to what the settings allow.

A name is resolved once, each of its addresses is checked, and the request goes to a checked address. If the name is
changed between check and request (DNS rebinding), the request still goes to that address.
"""

import asyncio
import contextlib
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from sortline.errors import ConfigurationError, InvalidInputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_CHARS = 2000
# IPv6 addresses that a gateway turns into the IPv4 address in their last 32 bits (RFC 6052).
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
# Special in IANA's registries, but global to Python before 3.13: protocol assignments (RFC 6890), documentation
# (RFC 9637).
_SPECIAL = tuple(ipaddress.ip_network(each) for each in ("192.0.0.0/24", "3fff::/20"))


@dataclass(frozen=True, slots=True)
class Allowed:
    """The hosts and networks that the setting webhook_allowed names."""

    hosts: frozenset[str]
    networks: tuple[Network, ...]

    def allows(self, host: str, addresses: list[Address]) -> bool:
        """Whether the host is named, or all of its addresses are in a named network."""
        if host in self.hosts:
            return True
        return bool(addresses) and all(any(each in network for network in self.networks) for each in addresses)


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook's URL in parts; ``authority`` is what the Host header says."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str


def read_allowed(listed: str) -> Allowed:
    """Hosts and networks of the setting webhook_allowed, separated by commas.

    Raises:
        ConfigurationError: a network can't be read.
    """
    hosts, networks = set[str](), list[Network]()
    for each in filter(None, (part.strip().lower() for part in listed.split(","))):
        try:
            networks.append(ipaddress.ip_network(each))
        except ValueError:
            if "/" in each:
                raise ConfigurationError(f"SORTLINE_WEBHOOK_ALLOWED: {each} is not a network") from None
            hosts.add(each)
    return Allowed(frozenset(hosts), tuple(networks))


def check_url(url: str, allowed: Allowed) -> Target:
    """The parts of a URL that a webhook may have, as far as can be checked without resolving its name.

    Raises:
        InvalidInputError: a webhook may not have it; the message says why.
    """
    target = _parts(url)
    numeric = _numeric(target)
    if target.scheme == "http" and not allowed.allows(target.host, numeric):
        raise InvalidInputError("a webhook's URL must start with https://")
    if numeric:
        check_addresses(target, numeric, allowed)
    return target


async def resolve(target: Target, allowed: Allowed) -> Address:
    """The address that a request goes to: the first of the name's addresses, all of which are checked.

    Raises:
        InvalidInputError: one of them is not allowed, or the name has none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InvalidInputError(f"the host {target.host} was not found") from None
    addresses = [_address(str(each[4][0])) for each in found]
    check_addresses(target, addresses, allowed)
    return addresses[0]


def check_addresses(target: Target, addresses: list[Address], allowed: Allowed) -> None:
    """Check where a host leads.

    Raises:
        InvalidInputError: it leads to an address that is neither public nor allowed, or nowhere, or is not https.
    """
    if allowed.allows(target.host, addresses):
        return
    if target.scheme != "https":
        raise InvalidInputError("a webhook's URL must start with https://")
    hidden = next((each for each in addresses if not is_public(each)), None)
    if hidden is not None or not addresses:
        raise InvalidInputError(f"{target.host} leads to {hidden}, which is not a public address")


def is_public(address: Address) -> bool:
    """Whether the address, and every IPv4 address that it stands for, belongs to the public internet."""
    if address in _TRANSLATED:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    inner: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        inner += [each for each in (address.sixtofour, *(address.teredo or ())) if each is not None]
    return all(
        each.is_global
        and not (each.is_multicast or each.is_reserved or each.is_unspecified or each.is_link_local)
        and not any(each in network for network in _SPECIAL)
        for each in inner
    )


def _parts(url: str) -> Target:
    if len(url) > _MOST_CHARS or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise InvalidInputError(
            f"a webhook's URL has at most {_MOST_CHARS:,} characters, all of them printable ASCII without spaces or \\"
        )
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise InvalidInputError(f"the webhook's URL can't be read: {error}") from None
    if parts.scheme not in ("https", "http"):
        raise InvalidInputError("a webhook's URL must start with https://")
    if not host or "%" in host or port == 0:
        raise InvalidInputError("the webhook's URL has no usable host or port")
    if parts.username is not None or parts.password is not None:
        raise InvalidInputError("a webhook's URL must not hold a user or password: the signature says who sends")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or {"https": 443, "http": 80}[parts.scheme], parts.netloc, path)


def _numeric(target: Target) -> list[Address]:
    """The address of a host that is an address, however written (2130706433, 0x7f.1); no name is resolved."""
    with contextlib.suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [_address(str(each[4][0])) for each in found]
    return []


def _address(written: str) -> Address:
    found = ipaddress.ip_address(written.partition("%")[0])
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found
