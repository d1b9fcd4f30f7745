"""A Redis server's address: it gives each user the form it needs, and shows no password."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sortline.errors import ConfigurationError
from sortline.server_url import ServerUrl, encode, once, read_url, write_host, write_user

_SCHEMES = {"redis", "rediss", "unix", "redis+socket"}
_VERIFICATIONS = {
    "required": "required", "cert_required": "required", "optional": "optional", "cert_optional": "optional",
    "none": "none", "cert_none": "none",
}  # fmt: skip
_TLS_FILES = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
_TLS = {"ssl_cert_reqs", "ssl_check_hostname", *_TLS_FILES}
_CLIENT = {
    "client_name", "health_check_interval", "max_connections", "retry_on_timeout", "socket_connect_timeout",
    "socket_keepalive", "socket_timeout",
}  # fmt: skip
_OWN = {"db", "virtual_host", "username", "password"}
_FORM = "redis://:password@host:6379/0, rediss://... over TLS, or unix:///path"
_ONE_SERVER = "give the address of one server (redis://host:6379/0), such as a proxy that follows the master"


@dataclass(frozen=True)
class RedisAddress:
    """An address of one Redis server. `str()` hides the password; `url` and `celery` hold it.

    ``socket`` is a Unix socket's path; there is no host then. ``options`` are redis-py's parameters, including those of
    TLS, as written in a URL.
    """

    host: str = "localhost"
    port: int | None = None
    socket: str | None = None
    tls: bool = False
    database: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    options: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def read(url: str, setting: str = "SORTLINE_REDIS_URL", authority: Path | None = None) -> "RedisAddress":
        """The address in a URL (`rediss://user:password@host:6379/0?ssl_ca_certs=/etc/authority.pem`).

        Args:
            authority: certificates that verify the server's, unless the URL names others.

        Raises:
            ConfigurationError: it can't be read or is not supported; the message contains no part of the URL.
        """
        found = _read(url, setting)
        if found.tls and authority is not None and not found._names_authority:
            found = replace(found, options=(*found.options, ("ssl_ca_certs", str(authority))))
        return found

    @staticmethod
    def on_socket(path: Path) -> "RedisAddress":
        """Database 0 over a Unix socket."""
        return RedisAddress(host="", socket=str(path))

    def of_database(self, number: int) -> "RedisAddress":
        """The database with this number on the same server."""
        return replace(self, database=number)

    @property
    def url(self) -> str:
        """The URL with the password, as redis-py takes it; it verifies certificates as `verification` says."""
        return self._written(hidden=False)

    @property
    def celery(self) -> dict[str, Any]:
        """Settings of a Celery app with this broker; it verifies certificates as redis-py does."""
        user = write_user(self.user, self.password)
        if self.socket is not None:
            return {"broker_url": f"redis+socket://{user}{_path(self.socket)}?virtual_host={self.database}"}
        place = write_host(self.host, self.port)
        if not self.tls:
            return {"broker_url": f"redis://{user}{place}/{self.database}"}
        given = dict(self.options)
        verified: dict[str, Any] = {name: given[name] for name in sorted(_TLS_FILES & set(given))}
        verified |= {"ssl_cert_reqs": self.verification, "ssl_check_hostname": self._checks_name}
        # Also in the URL: Celery connects with the URL alone when it shows its configuration to Flower.
        query = "&".join(f"{name}={_path(str(value))}" for name, value in verified.items())
        return {"broker_url": f"rediss://{user}{place}/{self.database}?{query}", "broker_use_ssl": verified}

    @property
    def where(self) -> str:
        """The server without user, password and database."""
        return self.socket or write_host(self.host, self.port)

    @property
    def verification(self) -> str:
        """How the server's certificate is verified: `required`, `optional` (the same for a client) or `none`."""
        return dict(self.options).get("ssl_cert_reqs", "required")

    @property
    def authority(self) -> str:
        """What verifies the server's certificate: a file, a folder, or the system's authorities."""
        given = dict(self.options)
        return given.get("ssl_ca_certs") or given.get("ssl_ca_path") or "the system's authorities"

    def check_files(self, setting: str) -> None:
        """Check that the certificate files can be used.

        An error on connecting would not name a missing one, and OpenSSL would ask the terminal for a key's password.

        Raises:
            ConfigurationError: one can't be used.
        """
        given = dict(self.options)
        for value in (given.get(name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")):
            try:
                if value is not None:
                    Path(value).read_bytes()
            except OSError as error:
                raise ConfigurationError(f"{setting}: {value} can't be read: {error.strerror}") from None
        authority, certificate, key = (given.get(name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if authority is not None:
                context.load_verify_locations(authority)
        except ssl.SSLError:
            raise ConfigurationError(f"{setting}: {authority} contains no certificates in the form PEM") from None
        try:
            if certificate is not None:
                context.load_cert_chain(certificate, key, password=lambda: "")
        except (ssl.SSLError, ValueError):
            raise ConfigurationError(
                f"{setting}: {certificate} and {key or 'the key in it'} can't be used: they must be PEM, belong "
                "together, and the key must have no password"
            ) from None

    def __str__(self) -> str:
        return self._written(hidden=True)

    def __repr__(self) -> str:
        return f"RedisAddress({str(self)!r})"

    @property
    def _names_authority(self) -> bool:
        return any(name in {"ssl_ca_certs", "ssl_ca_path"} for name, _ in self.options)

    @property
    def _checks_name(self) -> bool:
        said = dict(self.options).get("ssl_check_hostname", "true").lower()
        return self.verification != "none" and said not in {"0", "f", "false", "n", "no"}

    def _written(self, hidden: bool) -> str:
        user = write_user(self.user, self.password, hidden)
        options = list(self.options)
        if self.socket is not None:
            options = [("db", str(self.database)), *options] if self.database else options
            start = f"unix://{user}{_path(self.socket)}"
        else:
            start = f"{'rediss' if self.tls else 'redis'}://{user}{write_host(self.host, self.port)}/{self.database}"
        query = "&".join(f"{name}={_path(value)}" for name, value in options)
        return f"{start}{'?' if query else ''}{query}"


@dataclass(frozen=True, slots=True)
class Broker:
    """Celery's broker: its address, and for messages the setting that gives it."""

    address: RedisAddress
    setting: str

    def __str__(self) -> str:
        return f"Celery's broker at {self.address} ({self.setting})"


@lru_cache(maxsize=64)
def _read(text: str, setting: str) -> RedisAddress:
    scheme = text.strip().partition("://")[0].lower()
    for sign, name in (("sentinel", "Redis Sentinel"), ("cluster", "a Redis Cluster")):
        if sign in scheme:  # such URLs have their own forms
            raise ConfigurationError(f"{setting} names {name}, which Sortline does not support: {_ONE_SERVER}")
    if scheme not in _SCHEMES:
        raise ConfigurationError(f"{setting} is not a Redis URL ({_FORM})")
    url = read_url(text, setting, _TLS | _CLIENT | _OWN)
    _check_place(url, setting)
    tls = url.scheme == "rediss"
    given = {name: value for name, value in url.parameters.items() if name not in _OWN}
    if not tls and (stray := sorted(_TLS & set(given))):
        raise ConfigurationError(f"{setting} has {stray[0]}, but no TLS; write rediss:// for an encrypted connection")
    if "ssl_cert_reqs" in given:
        given["ssl_cert_reqs"] = _verification(given["ssl_cert_reqs"], setting)
    on_socket = url.scheme in {"unix", "redis+socket"}
    host, port = url.hosts[0]
    return RedisAddress(
        host="" if on_socket else host or "localhost",
        port=port,
        socket=f"/{url.path}" if on_socket else None,
        tls=tls,
        database=_database(None if on_socket else url.path.strip("/"), url.parameters, setting),
        user=once(url.user, url.parameters.get("username"), "user", setting),
        password=once(url.password, url.parameters.get("password"), "password", setting),
        options=tuple(sorted(given.items())),
    )


def _check_place(url: ServerUrl, setting: str) -> None:
    if len(url.hosts) > 1:
        raise ConfigurationError(
            f"{setting} names several servers; Sortline supports neither Redis Sentinel nor a Cluster: {_ONE_SERVER}"
        )
    if url.scheme in {"unix", "redis+socket"} and (url.hosts[0][0] or not url.path):
        raise ConfigurationError(f"{setting} is not a Redis URL; write a Unix socket as unix:///path/of/the/socket")


def _verification(value: str, setting: str) -> str:
    found = _VERIFICATIONS.get(value.lower())
    if found is None:
        raise ConfigurationError(f"{setting}: ssl_cert_reqs must be required, optional or none")
    return found


def _database(path: str | None, parameters: Mapping[str, str], setting: str) -> int:
    said = {value for value in (path, parameters.get("db"), parameters.get("virtual_host")) if value}
    if not all(value.isascii() and value.isdigit() for value in said):
        raise ConfigurationError(
            f"{setting} can't be read: the Redis database must be a number, as in redis://host:6379/0"
        )
    if len({int(value) for value in said}) > 1:
        raise ConfigurationError(f"{setting} names the database twice, before the ? and after it, and they differ")
    return int(next(iter(said), "0"))


def _path(text: str) -> str:
    return encode(text).replace("%2F", "/")
