"""What a check found."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, what was found, and what to do about it."""

    name: str
    level: Level
    found: str
    advice: str | None = None


def is_elsewhere(host: str) -> bool:
    """Whether the connection to a host leaves this machine; a name without a dot is another container on it."""
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return "." in host and not host.startswith(("/", "@"))
