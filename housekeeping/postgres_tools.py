"""pg_dump and pg_restore: which of the installed ones fits the server, and how to run it."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg import Connection
from psycopg.conninfo import make_conninfo

from db.session import is_encrypted, is_pooled, session
from housekeeping.postgres_relay import Target, relayed, tls_context
from sortline.errors import BackupError, ConfigurationError
from sortline.local import postgres_binaries
from sortline.postgres_address import PostgresAddress

_TIMEOUT_SINCE = 17


def dump(address: PostgresAddress, server: int, file: Path, only: Sequence[str] = ()) -> int:
    """Write a consistent copy of the database into a file in Postgres' custom format.

    Args:
        server: major version of the server.
        only: pg_dump's options for what to copy; none: the whole database.

    Returns:
        The major version of the program.

    Raises:
        BackupError: no pg_dump fits, or it fails; the message says why.
    """
    program, version = _program("pg_dump", server)
    command = [program, "--format=custom", "--no-owner", "--no-privileges", f"--file={file}", *only]
    _run(command, address, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    return version


def load(address: PostgresAddress, server: int, made_by: int, file: Path) -> None:
    """Fill an empty database from such a file, completely or not at all.

    Args:
        made_by: major version of the program that wrote it.

    Raises:
        BackupError: no pg_restore fits, or it fails; the message says why.
    """
    program, version = _program("pg_restore", max(server, made_by))
    options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
    # From version 17 on it sets this, and an older Postgres refuses it.
    unheard = "SET transaction_timeout" if server < _TIMEOUT_SINCE <= version else None
    _run([program, *options, str(file)], address, "BEGIN", unheard)


def _program(name: str, least: int) -> tuple[str, int]:
    """The oldest installed one that is new enough: a newer one may send what an older server does not know."""
    found = [(version, path) for path in _candidates(name) if (version := _version(path)) is not None]
    fitting = sorted((version, path) for version, path in found if version >= least)
    if fitting:
        return fitting[0][1], fitting[0][0]
    have = ", ".join(f"{path} is {version}" for version, path in found) or "none is installed"
    raise BackupError(f"{name} {least} or newer is needed ({have}): install Postgres' client programs of that version")


def _candidates(name: str) -> list[str]:
    found = [path] if (path := shutil.which(name)) else []
    with contextlib.suppress(ConfigurationError):
        found.append(str(postgres_binaries() / name))
    return found


def _version(path: str) -> int | None:
    try:
        output = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\) (\d+)", output)
    return int(found[1]) if found else None


def _run(command: list[str], address: PostgresAddress, begin: str, unheard: str | None = None) -> None:
    """Run a program on the database.

    Args:
        begin: the statement that begins its transaction if it connects through a pooler.
        unheard: the beginning of a statement of the program that the server does not know.
    """
    with session(address) as opened:
        driver = opened.connection().connection.driver_connection
        assert isinstance(driver, Connection)
        pooled, encrypted, info = is_pooled(opened), is_encrypted(opened), driver.info
        place = Target(info.host, info.port, info.hostaddr or None, begin=begin if pooled else None, unheard=unheard)
        user, database, password = info.user, info.dbname, info.password
    given = address.parameters
    if not (pooled or encrypted or unheard):
        given.pop("password", None)
        _execute(command, given, password, dict(os.environ))
        return
    if encrypted:
        place.tls, place.direct_tls = tls_context(given), given.get("sslnegotiation") == "direct"
    # What the environment says about the server is already in that connection; the relay is another address.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with relayed(place) as way:
        try:
            _execute(command, {**way, "user": user, "dbname": database}, password, environment)
        except BackupError as error:
            raise BackupError(f"{error} ({place.errors[0]})" if place.errors else str(error)) from None


def _execute(command: list[str], parameters: dict[str, str], password: str, environment: dict[str, str]) -> None:
    # The password goes through the environment: everybody can read a command line.
    secret = {"PGPASSWORD": password} if password else {}
    where = make_conninfo("", **parameters)
    done = subprocess.run(
        [*command, f"--dbname={where}"], env=environment | secret, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise BackupError(f"{Path(command[0]).name} failed: {lines[0] if lines else f'exit status {done.returncode}'}")
