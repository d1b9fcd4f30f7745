"""Addresses that Sortline's processes listen on."""

import socket
from contextlib import closing

import pytest

from sortline.cli.ports import check_ports
from sortline.errors import ConfigurationError, PortTakenError
from sortline.listening import bind, is_loopback, listen, url_of
from sortline.settings import Settings
from tests.conftest import find_free_port


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("::", "http://[::1]:80"),
        ("0:0:0:0:0:0:0:0", "http://[::1]:80"),
        ("2001:db8::7", "http://[2001:db8::7]:80"),
        ("localhost", "http://localhost:80"),
        ("sortline.example.org", "http://sortline.example.org:80"),
    ],
)
def test_an_address_as_a_browser_takes_it(host: str, url: str) -> None:
    assert url_of(host, 80) == url
    settings = Settings(_env_file=None, web_host=host, web_port=80, flower_host=host, flower_port=80)
    assert (settings.web_address, settings.flower_address) == (url, url)


def test_brackets_may_stand_around_a_host() -> None:
    settings = Settings(_env_file=None, web_host="[::1]", flower_host=" [::] ")
    assert (settings.web_host, settings.flower_host) == ("::1", "::")


@pytest.mark.parametrize(
    ("host", "reached_by"),
    [("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("::", ["::1", "127.0.0.1"]), ("0.0.0.0", ["127.0.0.1"])],
)
def test_what_listens_is_reached(host: str, reached_by: list[str]) -> None:
    port = find_free_port()
    sockets = listen(host, port, "WEB")
    try:
        for address in reached_by:
            socket.create_connection((address, port), timeout=5).close()
        with pytest.raises(
            PortTakenError, match=rf"port {port} of .* is taken by another program; .*SORTLINE_WEB_PORT"
        ):
            bind(host, port, "WEB")
    finally:
        for each in sockets:
            each.close()


@pytest.mark.parametrize("host", ["192.0.2.77", "2001:db8::77", "nowhere.invalid"])
def test_a_host_that_is_not_this_machine_is_said(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"SORTLINE_FLOWER_HOST") as refused:
        bind(host, find_free_port(), "FLOWER")
    assert not isinstance(refused.value, PortTakenError)


def test_web_and_flower_on_one_port() -> None:
    settings = Settings(_env_file=None, web_port=5555, flower_port=5555)
    with pytest.raises(PortTakenError, match="are both 5555"):
        check_ports(settings, ["web", "flower"])


def test_a_taken_port_is_told_with_who_has_it_and_only_where_it_is_needed() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        settings = Settings(_env_file=None, web_port=other.getsockname()[1], flower_port=find_free_port())
        with pytest.raises(PortTakenError, match=r"is taken by python\S* \(process \d+\); .*SORTLINE_WEB_PORT"):
            check_ports(settings, ["web", "worker", "flower"])
        check_ports(settings, ["worker"])


@pytest.mark.parametrize(("host", "alone"), [("::1", True), ("127.0.0.9", True), ("localhost", True), ("::", False)])
def test_loopback(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone
