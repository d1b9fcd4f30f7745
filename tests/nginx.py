"""A real nginx before a web and a Flower of the test's own, with TLS or without."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

HOST = "example.test"  # a name that is nowhere: browsers are told to look for it on this machine
_PATIENCE_S = 20.0
_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 20m;
  ssl_certificate {folder}/server.crt;
  ssl_certificate_key {folder}/server.key;
{servers}
}}
"""


@contextmanager
def nginx(servers: dict[int, str], tls: bool = True) -> Iterator[None]:
    """Runs nginx with a server on each port, whose locations are given; skips where it is not installed."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None or shutil.which("openssl") is None:
        pytest.skip("nginx or openssl is missing here (Debian: apt-get install nginx-light openssl)")
    folder = Path(tempfile.mkdtemp(prefix="sortline-nginx-"))
    try:
        _make_certificate(folder)
        blocks = [
            f"  server {{ listen 127.0.0.1:{port}{' ssl' if tls else ''}; {where} }}" for port, where in servers.items()
        ]
        user = "user root;" if os.getuid() == 0 else ""
        told = _CONFIGURATION.format(folder=folder, user=user, servers="\n".join(blocks))
        (folder / "nginx.conf").write_text(told, encoding="utf-8")
        with subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")]) as process:
            try:
                for port in servers:
                    _wait(process, port)
                yield
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def visitor(port: int, **options: Any) -> Iterator[httpx.Client]:
    """A client that finds HOST on a port of this machine, as a browser with its names would."""

    def go(request: httpx.Request) -> None:
        request.headers["Host"] = HOST
        request.extensions["sni_hostname"] = HOST

    with httpx.Client(
        base_url=f"https://127.0.0.1:{port}", verify=False, timeout=60, event_hooks={"request": [go]}, **options
    ) as client:
        yield client


def _make_certificate(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", "server.key", "-out", "server.crt", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        assert process.poll() is None, "nginx ended: it refuses the configuration"
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nginx does not answer on port {port}"
            time.sleep(0.05)
