"""A test bed of servers as people run them: TLS by a private authority, passwords full of signs, a pooler between.

    Sortline ──TLS──► PgBouncer (transaction mode) ──► Postgres over TCP, SCRAM passwords
        └────TLS──► Redis

The embedded Postgres has no TLS of its own, so PgBouncer ends it. Ports are free ones of the loopback; everything
lies in a folder of its own under /tmp that the servers' user may enter, and goes away with the bed.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import redis

from sortline.child import Child
from sortline.local import _ensure_user, postgres_binaries
from tests.conftest import find_free_port

USER = "sortline"
# Every sign that means something in a URL, a shell, a configuration file, or to Celery (the semicolon).
POSTGRES_PASSWORD = 'pg#/?%@:[];&=+"$x'
REDIS_PASSWORD = "rd#/?%@:[];&=+'$x"
DATABASE = "sortline"
# In a database of this name PgBouncer keeps a server connection for a client as long as it stays.
SESSION_DATABASE = "sortline_session"
_SYSTEM_USER = "pgserver" if os.getuid() == 0 else None  # Postgres and PgBouncer refuse to run as root
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Bed:
    """The servers, and the URLs that lead to them."""

    folder: Path
    postgres_port: int = field(default_factory=find_free_port)
    pgbouncer_port: int = field(default_factory=find_free_port)
    redis_port: int = field(default_factory=find_free_port)
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def authority(self) -> Path:
        """The certificate of the private authority."""
        return self.folder / "authority.crt"

    @property
    def unknown_authority(self) -> Path:
        """The certificate of another authority, which signed nothing here."""
        return self.folder / "unknown.crt"

    def pooled_url(self, database: str = DATABASE) -> str:
        """Postgres through PgBouncer in transaction mode, over TLS that is verified."""
        server = f"127.0.0.1:{self.pgbouncer_port}"
        return f"{self._postgres(server, database)}?sslmode=verify-full&sslrootcert={quote(str(self.authority))}"

    def direct_url(self, database: str = DATABASE) -> str:
        """Postgres itself, over TCP without TLS."""
        return self._postgres(f"127.0.0.1:{self.postgres_port}", database)

    def redis_url(self, database: int = 0, host: str = "127.0.0.1") -> str:
        """Redis over TLS; the authority is for a setting or a parameter to name."""
        return f"rediss://:{quote(REDIS_PASSWORD, safe='')}@{host}:{self.redis_port}/{database}"

    def redis_socket_url(self, database: int = 0) -> str:
        """The same Redis by its Unix socket."""
        return f"unix://:{quote(REDIS_PASSWORD, safe='')}@{self.folder}/redis.sock?db={database}"

    def make_database(self, name: str) -> None:
        """Make an empty database of Sortline's user, which is no superuser."""
        with psycopg.connect(self._admin, autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}" OWNER {USER}')

    def drop_database(self, name: str) -> None:
        """Drop a database, with whoever is connected to it."""
        with psycopg.connect(self._admin, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def pgbouncer_shows(self, what: str) -> list[dict[str, object]]:
        """What PgBouncer's console says: POOLS, SERVERS, CLIENTS, STATS."""
        with psycopg.connect(self.pooled_url("pgbouncer"), autocommit=True, prepare_threshold=None) as console:
            answer = console.pgconn.exec_(f"SHOW {what}".encode())
            names = [(answer.fname(i) or b"").decode() for i in range(answer.nfields)]
            return [
                {name: (answer.get_value(row, i) or b"").decode() for i, name in enumerate(names)}
                for row in range(answer.ntuples)
            ]

    def log(self, server: str) -> str:
        """What a server has printed."""
        return (self.folder / f"{server}.log").read_text("utf-8")

    @property
    def _admin(self) -> str:
        return f"postgresql://postgres:{quote(POSTGRES_PASSWORD, safe='')}@127.0.0.1:{self.postgres_port}/postgres"

    def _postgres(self, server: str, database: str) -> str:
        return f"postgresql://{USER}:{quote(POSTGRES_PASSWORD, safe='')}@{server}/{database}"

    def start(self, name: str, command: list[str], user: str | None = None) -> None:
        """Run a server, its output in a file of the folder."""
        log = (self.folder / f"{name}.log").open("a", encoding="utf-8", buffering=1)
        child = Child(name, command, lambda _, line: print(line, file=log), user=user)
        child.start()
        self.children[name] = child


@contextmanager
def running_bed() -> Iterator[Bed]:
    """The servers, running inside the block; without their programs the test is skipped."""
    for program in ("openssl", "pgbouncer", "redis-server"):
        if _program(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="sortline-bed-", dir="/tmp"))
    folder.chmod(0o755)
    bed = Bed(folder)
    try:
        _make_certificates(folder)
        _start_postgres(bed)
        _start_pgbouncer(bed)
        _start_redis(bed)
        _wait_for_redis(bed)
        _make_user(bed)
        yield bed
    finally:
        for child in bed.children.values():
            child.ask_to_stop()
        for child in bed.children.values():
            child.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _make_certificates(folder: Path) -> None:
    """An authority, a server's certificate of it for 127.0.0.1, ::1 and localhost, and an authority of nobody here."""
    for name in ("authority", "unknown"):
        _openssl("req", "-x509", *_key(folder / f"{name}.key"), "-subj", f"/CN=Sortline test {name}",
                 "-out", str(folder / f"{name}.crt"))  # fmt: skip
    request, extensions = folder / "server.csr", folder / "server.ext"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n")
    _openssl("req", *_key(folder / "server.key"), "-subj", "/CN=localhost", "-out", str(request))
    _openssl("x509", "-req", "-in", str(request), "-CA", str(folder / "authority.crt"), "-days", "2",
             "-CAkey", str(folder / "authority.key"), "-CAcreateserial", "-extfile", str(extensions),
             "-out", str(folder / "server.crt"))  # fmt: skip
    _own(folder / "server.key")


def _key(path: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", str(path)]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _start_postgres(bed: Bed) -> None:
    if _SYSTEM_USER is not None:
        _ensure_user(_SYSTEM_USER)
    _run_postgres(bed, "postgres", postgres_binaries(_SYSTEM_USER), bed.postgres_port, {})
    _wait(lambda: psycopg.connect(bed._admin, connect_timeout=2).close(), psycopg.OperationalError)


@contextmanager
def running_tls_postgres(bed: Bed) -> Iterator[str]:
    """The oldest Postgres that the system's packages have, with TLS of its own; gives the URL of its superuser."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found or int(found[0].parts[-3]) < 15:
        pytest.skip("Postgres 15 or newer of the system's packages is not installed")
    port = find_free_port()
    name = f"packaged-postgres-{port}"
    certificate = {"ssl": "on", "ssl_cert_file": f"{bed.folder}/server.crt", "ssl_key_file": f"{bed.folder}/server.key"}
    _run_postgres(bed, name, found[0].parent, port, certificate)
    user = f"postgres:{quote(POSTGRES_PASSWORD, safe='')}"
    url = f"postgresql://{user}@127.0.0.1:{port}/postgres?sslmode=verify-full&sslrootcert={bed.authority}"
    _wait(lambda: psycopg.connect(url, connect_timeout=2).close(), psycopg.OperationalError)
    yield url
    child = bed.children.pop(name)
    child.ask_to_stop()
    child.wait(20)


def _run_postgres(bed: Bed, name: str, binaries: Path, port: int, more: dict[str, str]) -> None:
    data, passwords = bed.folder / name, bed.folder / "postgres-password"
    data.mkdir(mode=0o700)
    passwords.write_text(POSTGRES_PASSWORD + "\n")
    _own(data)
    _own(passwords)
    subprocess.run(
        [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={passwords}",
         "-E", "UTF8", "--locale=C", "--no-instructions", "--no-sync"],
        user=_SYSTEM_USER, cwd="/", check=True, capture_output=True,
    )  # fmt: skip
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "fsync": "off",  # the bed need not outlive the machine
        "log_min_messages": "warning",
        "jit": "off",
        **more,
    }
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    bed.start(name, [str(binaries / "postgres"), "-D", str(data), *flags], _SYSTEM_USER)


def _make_user(bed: Bed) -> None:
    with psycopg.connect(bed._admin, autocommit=True) as admin:
        password = psycopg.sql.Literal(POSTGRES_PASSWORD)
        admin.execute(psycopg.sql.SQL("CREATE ROLE sortline LOGIN PASSWORD {}").format(password))
    bed.make_database(DATABASE)


def _start_pgbouncer(bed: Bed) -> None:
    users, configuration = bed.folder / "pgbouncer-users.txt", bed.folder / "pgbouncer.ini"
    escaped = POSTGRES_PASSWORD.replace('"', '""')
    users.write_text(f'"{USER}" "{escaped}"\n')
    _own(users)
    server = f"host=127.0.0.1 port={bed.postgres_port}"
    configuration.write_text(f"""
[databases]
{SESSION_DATABASE} = {server} dbname={DATABASE} pool_mode=session
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {bed.pgbouncer_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
admin_users = {USER}
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
client_tls_sslmode = require
client_tls_key_file = {bed.folder}/server.key
client_tls_cert_file = {bed.folder}/server.crt
""")
    bed.start("pgbouncer", [str(_program("pgbouncer")), str(configuration)], _SYSTEM_USER)


def _start_redis(bed: Bed) -> None:
    data, configuration = bed.folder / "redis", bed.folder / "redis.conf"
    data.mkdir()
    configuration.write_text(f"""
bind 127.0.0.1 -::1
port 0
tls-port {bed.redis_port}
tls-cert-file {bed.folder}/server.crt
tls-key-file {bed.folder}/server.key
tls-ca-cert-file {bed.authority}
tls-auth-clients no
unixsocket {bed.folder}/redis.sock
requirepass "{REDIS_PASSWORD}"
dir {data}
appendonly yes
appendfsync always
aof-use-rdb-preamble no
save ""
loglevel warning
""")
    bed.start("redis", [str(_program("redis-server")), str(configuration)])


def _wait_for_redis(bed: Bed) -> None:
    def ping() -> None:
        if bed.children["redis"].started_again and "tls-port" in bed.log("redis"):
            pytest.skip("the redis-server on the path was built without TLS")
        with redis.Redis.from_url(bed.redis_url(), ssl_ca_certs=str(bed.authority)) as client:
            client.ping()

    _wait(ping, redis.exceptions.ConnectionError)


def _wait(attempt: Callable[[], object], away: type[Exception]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            attempt()
        except away:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _own(path: Path) -> None:
    path.chmod(0o700 if path.is_dir() else 0o600)
    if _SYSTEM_USER is not None:
        entry = pwd.getpwnam(_SYSTEM_USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)
