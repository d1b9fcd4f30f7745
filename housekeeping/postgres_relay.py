"""A relay for pg_dump and pg_restore to a Postgres that requires TLS or is behind a pooler.

The programs of the packaged Postgres can't do TLS. Both programs change their session outside a transaction, where a
pooler gives them a new server session again and again and passes the changed ones on to others. And pg_restore sets a
parameter that servers before 17 do not know. So the programs connect to a socket of this relay. It forwards everything
to the server over TLS, verified as the address says. With a pooler, all that they do runs in one transaction, which
begins before their first statement. An older server never receives that parameter.
"""

import asyncio
import shutil
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sortline.listening import socket_place

_PORT = 5432  # of the socket's name alone
_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_SASL = 10
_PLUS = b"SCRAM-SHA-256-PLUS"  # binds a password to the TLS connection; the programs' own connection is not TLS
_CHUNK = 2**18
_PATIENCE_S = 10.0


@dataclass
class Target:
    """The server behind the relay.

    ``host``: a name, an address or a socket's folder; ``tls``: None for an unencrypted connection; ``begin``: the
    statement that the connection begins with, if it must stay in one transaction; ``unheard``: statements that begin
    with this are not forwarded; ``errors``: why the server could not be reached.
    """

    host: str
    port: int
    address: str | None = None
    tls: ssl.SSLContext | None = None
    direct_tls: bool = False
    begin: str | None = None
    unheard: str | None = None
    errors: list[str] = field(default_factory=list)


def tls_context(parameters: dict[str, str]) -> ssl.SSLContext:
    """A TLS context that verifies the server and identifies the client as libpq would with the same parameters.

    Raises:
        OSError: a certificate file can't be used.
    """
    home = Path.home() / ".postgresql"
    mode, root = parameters.get("sslmode", "prefer"), parameters.get("sslrootcert")
    if root is None and (home / "root.crt").exists():
        root = str(home / "root.crt")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = mode == "verify-full" or root == "system"
    verified = context.check_hostname or mode == "verify-ca" or (mode == "require" and root is not None)
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    if root == "system":
        context.load_default_certs()
    elif root is not None:
        context.load_verify_locations(root)
    if crl := parameters.get("sslcrl"):
        context.load_verify_locations(crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    certificate = parameters.get("sslcert", str(home / "postgresql.crt"))
    if "sslcert" in parameters or Path(certificate).exists():
        context.load_cert_chain(certificate, parameters.get("sslkey", str(home / "postgresql.key")))
    return context


@contextmanager
def relayed(target: Target) -> Iterator[dict[str, str]]:
    """Open a socket in a private folder for the length of the block; yields the libpq parameters that lead to it."""
    folder = Path(tempfile.mkdtemp(prefix="sl-", dir=socket_place()))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="postgres-relay", daemon=True)
    thread.start()
    relay = _Relay(target)
    try:
        opened = asyncio.start_unix_server(relay.carry, folder / f".s.PGSQL.{_PORT}")
        server = asyncio.run_coroutine_threadsafe(opened, loop).result(_PATIENCE_S)
        yield {"host": str(folder), "port": str(_PORT), "sslmode": "disable"}
        loop.call_soon_threadsafe(server.close)
    finally:
        asyncio.run_coroutine_threadsafe(_end_tasks(), loop).result(_PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_S)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


async def _end_tasks() -> None:
    """Let the connections end now that the program has; after some seconds, cut them."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_PATIENCE_S / 2)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


class _Relay:
    """Forwards each connection to the target."""

    def __init__(self, target: Target) -> None:
        self.target = target

    async def carry(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        try:
            far, to_far = await self._reach()
            try:
                to_far.write(await _startup(near, to_near))
                upwards = asyncio.create_task(self._up(near, to_far))
                try:
                    await self._down(far, to_near, to_far)
                finally:
                    upwards.cancel()
            finally:
                to_far.close()
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side has closed, or the block is over
        except OSError as error:
            self.target.errors.append(str(error))
        finally:
            to_near.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self.target
        if target.host.startswith(("/", "@")):
            return await asyncio.open_unix_connection(f"{target.host}/.s.PGSQL.{target.port}")
        place = target.address or target.host
        if target.tls is None:
            return await asyncio.open_connection(place, target.port)
        if target.direct_tls:
            target.tls.set_alpn_protocols(["postgresql"])
            return await asyncio.open_connection(place, target.port, ssl=target.tls, server_hostname=target.host)
        far, to_far = await asyncio.open_connection(place, target.port)
        to_far.write(struct.pack("!ii", 8, _SSL_REQUEST))
        if await far.readexactly(1) != b"S":
            raise OSError("the server does not accept TLS connections")
        await to_far.start_tls(target.tls, server_hostname=target.host)
        return far, to_far

    async def _down(
        self, far: asyncio.StreamReader, to_near: asyncio.StreamWriter, to_far: asyncio.StreamWriter
    ) -> None:
        """Forward what the server sends; when it is ready for the first statement, begin the transaction first."""
        begin = self.target.begin
        while True:
            kind, body = await _message(far)
            if kind == b"R":
                body = _without_binding(body)
            if kind == b"Z" and begin is not None:
                to_far.write(_packed(b"Q", begin.encode() + b"\0"))
                begin = None
                continue
            if kind != b"C":  # the only one before the server is ready is that of our own statement
                to_near.write(_packed(kind, body))
            if kind == b"Z":
                break
        await _pour(far, to_near)

    async def _up(self, near: asyncio.StreamReader, to_far: asyncio.StreamWriter) -> None:
        """Forward what the program sends, and that it closes the connection."""
        try:
            if self.target.begin is None and self.target.unheard is None:
                await _pour(near, to_far)
            while True:
                kind, body = await _message(near)
                to_far.write(_packed(kind, self._forwarded(body) if kind == b"Q" else body))
                await to_far.drain()
        except asyncio.IncompleteReadError:
            to_far.close()

    def _forwarded(self, statement: bytes) -> bytes:
        """A statement of the program as it is sent to the server."""
        if self.target.unheard is not None and statement.startswith(self.target.unheard.encode()):
            return b"\0"
        if self.target.begin is not None and statement.strip(b"\0; \n").upper() == b"COMMIT":
            return b"RESET ALL; COMMIT\0"  # the session goes to others afterwards
        return statement


async def _startup(near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> bytes:
    """The program's first message; requests for encryption before it are declined."""
    while True:
        (length,) = struct.unpack("!i", await near.readexactly(4))
        body = await near.readexactly(length - 4)
        if struct.unpack("!i", body[:4])[0] not in (_SSL_REQUEST, _GSS_REQUEST):
            return struct.pack("!i", length) + body
        to_near.write(b"N")


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, length = struct.unpack("!ci", await reader.readexactly(5))
    return kind, await reader.readexactly(length - 4)


def _packed(kind: bytes, body: bytes) -> bytes:
    return struct.pack("!ci", kind, len(body) + 4) + body


def _without_binding(body: bytes) -> bytes:
    """An authentication request without the methods that bind it to a TLS connection."""
    if struct.unpack("!i", body[:4])[0] != _SASL:
        return body
    ways = [way for way in body[4:].split(b"\0") if way and way != _PLUS]
    return body[:4] + b"".join(way + b"\0" for way in ways) + b"\0"


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        sink.write(chunk)
        await sink.drain()
