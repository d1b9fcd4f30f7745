"""Settings as files of variables, shells, Docker and Kubernetes hand them over."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sortline.errors import ConfigurationError
from sortline.settings import Settings, get_settings

Give = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("SORTLINE_"):
            monkeypatch.delenv(name)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(params=["environment", ".env", ".env of Windows"])
def given(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Give:
    """Sets a variable, in each of the ways."""

    def give(name: str, value: str) -> None:
        if request.param == "environment":
            monkeypatch.setenv(name, value)
        else:
            start, end = ("", "\n") if request.param == ".env" else ("\ufeff", "\r\n")
            Path(".env").write_bytes(f"{start}{name}={value}{end}".encode())

    return give


@pytest.mark.parametrize("value", ['"line"', "'line'", "line ", " line\t", "line\r"])
def test_quotes_and_spaces_around_a_value_are_no_part_of_it(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's --env-file keeps quotes; a file that Windows wrote has a carriage return at each end."""
    monkeypatch.setenv("SORTLINE_PREFIX", value)
    monkeypatch.setenv("SORTLINE_DATA_DIR", value)
    monkeypatch.setenv("SORTLINE_LOG_LEVEL", value.replace("line", "warning"))
    found = get_settings()
    assert (found.prefix, found.data_dir, found.log_level) == ("line", Path("line"), "WARNING")


def test_an_empty_value_is_no_value(given: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA_DIR", "WEB_PORT", "WEB_HOST", "LOG_LEVEL", "PREFIX", "REDIS_CA_FILE", "REDIS_URL_FILE"):
        given(f"SORTLINE_{name}", "")
        get_settings.cache_clear()
        assert get_settings() == Settings(_env_file=None)
    monkeypatch.setenv("SORTLINE_FORWARDED_ALLOW_IPS", "")
    assert Settings().forwarded_allow_ips == ""  # no proxy is trusted


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("LOG_LEVEL", "verbose", "DEBUG, INFO"), ("PREFIX", "a*", "none of"), ("PREFIX", "my line", "no spaces"),
     ("FORWARDED_ALLOW_IPS", "nginx", "nginx is neither"), ("FORWARDED_ALLOW_IPS", "10.0.0.5/8", "10.0.0.5/8 is neither"),
     ("ALLOWED_HOSTS", "a.example, https://b.example", "https://b.example is not a host"),
     ("ALLOWED_HOSTS", "a.example:443", "without scheme and port"), ("ALLOWED_HOSTS", "*", "not a host"),
     ("STUCK_S", "inf", "finite"), ("STUCK_S", "nan", "finite"), ("MODEL_STORE", "~nobody-here/m", "no home")],
)  # fmt: skip
def test_what_can_not_be_meant_is_refused_by_name(given: Give, name: str, value: str, said: str) -> None:
    given(f"SORTLINE_{name}", value)
    with pytest.raises(ConfigurationError, match=re.escape(f"setting SORTLINE_{name}: ") + f".*{re.escape(said)}"):
        get_settings()


@pytest.mark.parametrize(
    ("name", "meant"),
    [("SORTLINE_POSGRES_URL", "SORTLINE_DATABASE_URL"), ("SORTLINE_RETENTION_DAY", "SORTLINE_RETENTION_DAYS"),
     ("sortline_redis_uri", "SORTLINE_REDIS_URL"), ("SORTLINE_TOKENS_PER_BACH", "SORTLINE_TOKENS_PER_BATCH"), ("SORTLINE_SOMETHING_ELSE", "")],
)  # fmt: skip
def test_a_name_that_is_no_setting_is_said(
    given: Give, name: str, meant: str, caplog: pytest.LogCaptureFixture
) -> None:
    given(name, "hush")
    get_settings()
    (said,) = caplog.records
    assert said.levelno == logging.WARNING and name.upper() in said.getMessage() and meant in said.getMessage()
    assert "hush" not in said.getMessage()


def test_a_service_of_kubernetes_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Services called sortline-web and sortline-flower set these variables in every container beside them."""
    for name in ("WEB", "FLOWER"):
        monkeypatch.setenv(f"SORTLINE_{name}_SERVICE_HOST", "10.0.0.1")
        monkeypatch.setenv(f"SORTLINE_{name}_SERVICE_PORT_HTTP", "80")
        monkeypatch.setenv(f"SORTLINE_{name}_PORT", "tcp://10.0.0.1:80")
        monkeypatch.setenv(f"SORTLINE_{name}_PORT_80_TCP_ADDR", "10.0.0.1")
    found = get_settings()
    assert (found.web_port, found.flower_port) == (8080, 5555) and not caplog.records


def test_a_secret_file_of_windows_is_read_and_an_empty_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one meant the embedded server."""
    Path("secret").write_bytes("\ufeffpostgresql://me:hush@db.example/line\r\n".encode())
    monkeypatch.setenv("SORTLINE_DATABASE_URL_FILE", "secret")
    assert get_settings().postgres_url.hosts == ["db.example"]
    Path("secret").write_text("\n", "utf-8")
    with pytest.raises(ConfigurationError, match="secret file secret is empty"):
        _ = get_settings().postgres_url


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_of_variables_in_another_encoding_is_one_sentence(encoding: str) -> None:
    Path(".env").write_bytes("# für die Linie\nSORTLINE_PREFIX=line\n".encode(encoding))
    with pytest.raises(ConfigurationError, match="not text in UTF-8"):
        get_settings()


def test_a_home_is_written_as_in_a_shell(given: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    given("SORTLINE_DATA_DIR", "~/line")
    assert get_settings().models == "/home/ann/line/models"
