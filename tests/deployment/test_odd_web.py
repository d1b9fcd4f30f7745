"""The web process behind proxies and on addresses as other people set them up."""

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from sortline.settings import Settings
from tests.conftest import environment, find_free_port, until


@pytest.mark.parametrize(("trusted", "address"), [("127.0.0.0/8", "9.9.9.9"), ("10.0.0.0/8", "127.0.0.1")])
def test_a_proxy_over_ipv4_is_trusted_on_a_socket_of_both_kinds(
    settings: Settings, tmp_path: Path, trusted: str, address: str
) -> None:
    """On `::` an IPv4 caller comes in as ::ffff:127.0.0.1."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    port, log = find_free_port(), tmp_path / "log"
    more = {"WEB_HOST": "::", "WEB_PORT": str(port), "FORWARDED_ALLOW_IPS": trusted}
    variables = environment(settings, **{f"SORTLINE_{name}": value for name, value in more.items()})
    headers = {"X-Forwarded-For": "9.9.9.9", "Authorization": "Bearer sl_unknown"}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/labels", headers=headers)

    def refused() -> bool:
        try:
            urllib.request.urlopen(asked, timeout=20)
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            return False
        return False

    with (
        log.open("w") as output,
        subprocess.Popen([sys.executable, "-m", "web"], env=variables, cwd=tmp_path, stderr=output) as web,
    ):
        try:
            until(refused, 60)
        finally:
            web.terminate()
            web.wait(30)
    assert f"from {address}," in log.read_text().replace("::ffff:", "")
