"""Where webhooks may lead, however an address is written; a name is asked for once, a certificate is checked by name."""

import asyncio
import ipaddress
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from receiver import Receiver

from housekeeping import webhook_request
from housekeeping.webhook_address import Allowed, check_url, is_public, read_allowed, resolve
from housekeeping.webhook_request import Sender
from sortline.errors import InvalidInputError

NOTHING = read_allowed("")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "hooks.example.com",
        "https://",
        "https://user:password@hooks.example.com/",
        "https://user@hooks.example.com/",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com/a b",
        "https://hooks.example.com\\@127.0.0.1/",
        "https://höoks.example.com/",
        "https://[::1%25lo]/",
        "https://[::1/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://0/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://192.0.0.8/",
        "https://192.0.0.170/",
        "https://[3fff::1]/",
        "https://[64:ff9b::192.0.0.8]/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::]/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/",
        "https://[ff02::1]/",
        "https://hooks.example.com/" + "a" * 2000,
    ],
)
def test_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        check_url(url, NOTHING)


@pytest.mark.parametrize(
    ("url", "port", "path"),
    [
        ("https://hooks.example.com", 443, "/"),
        ("https://hooks.example.com:8443/a?b=c#d", 8443, "/a?b=c"),
        ("https://8.8.8.8/", 443, "/"),
        ("https://[2606:4700::1111]/", 443, "/"),
        ("https://[::ffff:8.8.8.8]/", 443, "/"),
    ],
)
def test_taken(url: str, port: int, path: str) -> None:
    target = check_url(url, NOTHING)
    assert (target.port, target.path) == (port, path)


def test_what_the_setting_names_is_allowed() -> None:
    allowed = read_allowed("Hooks.Intranet.example, 10.0.0.0/8, fd00::/8")
    for url in ("http://hooks.intranet.example/", "http://10.1.2.3:8080/", "https://[fd00::5]/"):
        check_url(url, allowed)
    for url in ("http://other.intranet.example/", "https://192.168.0.1/", "https://127.0.0.1/"):
        with pytest.raises(InvalidInputError):
            check_url(url, allowed)


def test_addresses_that_stand_for_others() -> None:
    for written in ("64:ff9b::808:808", "2606:4700::1111", "1.1.1.1"):
        assert is_public(ipaddress.ip_address(written))
    for written in ("64:ff9b::a00:1", "2002:a00:1::1", "64:ff9b:1::7f00:1"):
        assert not is_public(ipaddress.ip_address(written))


def answers(monkeypatch: pytest.MonkeyPatch, *lists: list[str]) -> list[str]:
    """Makes names lead to the first list of addresses when first asked for, then to the next; returns who was asked."""
    asked: list[str] = []

    def found(host: str, port: int, *_: object, flags: int = 0, **__: object) -> list[tuple[object, ...]]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        asked.append(host)
        return [(0, 0, 0, "", (each, port)) for each in lists[min(len(asked), len(lists)) - 1]]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return asked


def test_every_address_of_a_name_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    target = check_url("https://hooks.example.com/", NOTHING)
    answers(monkeypatch, ["8.8.8.8", "169.254.169.254"])
    with pytest.raises(InvalidInputError, match=r"169\.254\.169\.254, which is not a public address"):
        asyncio.run(resolve(target, NOTHING))


def test_a_name_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise socket.gaierror

    target = check_url("https://hooks.example.com/", NOTHING)
    monkeypatch.setattr(socket, "getaddrinfo", missing)
    with pytest.raises(InvalidInputError, match=r"hooks\.example\.com was not found"):
        asyncio.run(resolve(target, NOTHING))


def test_a_name_that_changes_after_the_check_leads_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Receiver()
    allowed = read_allowed("127.0.0.0/8")
    target = check_url(there.url.replace("http:", "https:").replace("127.0.0.1", "rebound.example"), allowed)
    asked = answers(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])

    async def send() -> str | None:
        async with Sender(
            f"http://rebound.example:{target.port}/", [SECRET], Allowed(allowed.hosts | {"rebound.example"}, ()), 5
        ) as sender:
            return await sender.send("msg_1", b"{}")

    assert asyncio.run(send()) is None
    there.stop()
    assert asked == ["rebound.example"]
    assert there.requests[0].headers["host"] == f"rebound.example:{target.port}"


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for localhost and its key, which this process trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    path = tmp_path / "localhost.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(path),
        "-out",
        str(tmp_path / "c.pem"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (tmp_path / "c.pem").read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))
    webhook_request._trusted.cache_clear()
    return path


@pytest.mark.parametrize(("host", "arrives"), [("localhost", True), ("127.0.0.1", False)])
def test_the_certificate_is_checked_against_the_name(certificate: Path, host: str, arrives: bool) -> None:
    there = Receiver()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    there.server.socket = context.wrap_socket(there.server.socket, server_side=True)
    url = f"https://{host}:{there.server.server_port}/"

    async def send() -> str | None:
        async with Sender(url, [SECRET], read_allowed("localhost,127.0.0.0/8"), 5) as sender:
            return await sender.send("msg_1", b"{}")

    error = asyncio.run(send())

    there.stop()
    webhook_request._trusted.cache_clear()
    assert (error is None, len(there.requests)) == (arrives, int(arrives))
    if not arrives:
        assert error is not None
        assert "certificate" in error
