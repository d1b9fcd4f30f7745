"""Postgres' address: it gives each user the form it needs, and shows no password."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sortline.errors import ConfigurationError
from sortline.server_url import encode, once, read_url, write_host, write_user

_SCHEMES = {"postgres", "postgresql", "postgresql+psycopg"}
# libpq's, except those that hold another secret or choose another protocol (replication, sslpassword, oauth_*).
_KNOWN = set(
    """
    host hostaddr port dbname user password passfile require_auth channel_binding connect_timeout client_encoding
    options application_name fallback_application_name keepalives keepalives_idle keepalives_interval keepalives_count
    tcp_user_timeout gssencmode sslmode sslnegotiation sslcompression sslcert sslkey sslcertmode sslrootcert sslcrl
    sslcrldir sslsni requirepeer ssl_min_protocol_version ssl_max_protocol_version min_protocol_version
    max_protocol_version krbsrvname gsslib gssdelegation service target_session_attrs load_balance_hosts
    """.split()  # noqa: SIM905 - as a list it would fill 45 lines
)
PORT = "5432"
_IN_PLACE = {"host", "port", "dbname", "user", "password"}  # a URL has them before its parameters


@dataclass(frozen=True)
class PostgresAddress:
    """An address of Postgres. `str()` hides the password; `url` and `parameters` hold it.

    ``items`` are libpq's parameters, ordered by name.
    """

    items: tuple[tuple[str, str], ...] = field(repr=False)

    @staticmethod
    def read(url: str, setting: str = "SORTLINE_DATABASE_URL") -> "PostgresAddress":
        """The address in a URL (`postgresql://user:password@host:5432/database?sslmode=verify-full`).

        Raises:
            ConfigurationError: it can't be read; the message names the setting and contains no part of the URL.
        """
        return _read(url, setting)

    @staticmethod
    def on_socket(folder: Path) -> "PostgresAddress":
        """The superuser's own database, over the Unix socket in ``folder``, whatever PGPORT says."""
        return PostgresAddress((("dbname", "postgres"), ("host", str(folder)), ("port", PORT), ("user", "postgres")))

    @property
    def parameters(self) -> dict[str, str]:
        """libpq's parameters, including the password."""
        return dict(self.items)

    @property
    def url(self) -> str:
        """The URL with the password, for programs that take one."""
        return self._written(hidden=False)

    def __str__(self) -> str:
        return self._written(hidden=True)

    def __repr__(self) -> str:
        return f"PostgresAddress({str(self)!r})"

    @property
    def hosts(self) -> list[str]:
        """Hosts or folders of Unix sockets; empty: libpq's default."""
        return [host for host in self.parameters.get("host", "").split(",") if host]

    def _written(self, hidden: bool) -> str:
        found = self.parameters
        on_socket = any(host.startswith(("/", "@")) for host in self.hosts)
        ports = found.get("port", "").split(",")
        places = []
        for number, host in enumerate([] if on_socket else found.get("host", "").split(",")):
            port = ports[number] if number < len(ports) else ports[0] if len(ports) == 1 else ""
            places.append(write_host(host, int(port) if port else None))
        rest = {name: value for name, value in found.items() if name not in _IN_PLACE}
        if on_socket:
            rest |= {name: found[name] for name in ("host", "port") if name in found}
            if hidden and rest.get("port") == PORT:
                del rest["port"]
        query = "&".join(f"{name}={encode(value).replace('%2F', '/')}" for name, value in rest.items())
        database = encode(found.get("dbname", ""))
        user = write_user(found.get("user"), found.get("password"), hidden)
        return f"postgresql://{user}{','.join(places)}/{database}{'?' if query else ''}{query}"


@lru_cache(maxsize=64)
def _read(text: str, setting: str) -> PostgresAddress:
    if text.strip().partition("://")[0].lower() not in _SCHEMES:
        raise ConfigurationError(f"{setting} is not a Postgres URL (postgresql://user:password@host:5432/database)")
    url = read_url(text, setting, _KNOWN)
    found = dict(url.parameters)
    hosts = [host for host, _ in url.hosts]
    ports = ["" if port is None else str(port) for _, port in url.hosts]
    own: dict[str, str | None] = {
        "host": ",".join(hosts) if any(hosts) else None,
        "port": ",".join(ports) if any(ports) else None,
        "dbname": url.path or None,
        "user": url.user,
        "password": url.password,
    }
    for name, value in own.items():
        both = once(value, found.get(name), "database" if name == "dbname" else name, setting)
        if both:
            found[name] = both
    if not all(port.isdigit() for port in found.get("port", "0").split(",") if port):
        raise ConfigurationError(f"{setting} can't be read: its port is not a number")
    return PostgresAddress(tuple(sorted(found.items())))
