"""docker-compose.yml holds together: what it names exists, in the file and in the program.

No Docker engine is needed: the file is read as YAML and checked by the rules of the Compose Specification.
"""

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from sortline.cli import cli
from sortline.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
LONG_RUNNING = sorted(set(SERVICES) - {"migrate"})
PROCFILE = ROOT / "sortline/cli/Procfile"

TOP_LEVEL = {"name", "services", "networks", "volumes", "configs", "secrets"}
SERVICE_KEYS = {
    "build", "cap_add", "cap_drop", "command", "configs", "depends_on", "deploy", "environment", "healthcheck", "image",
    "init", "networks", "ports", "profiles", "read_only", "restart", "secrets", "security_opt", "shm_size",
    "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
CONDITIONS = {"service_healthy", "service_completed_successfully"}
DURATION = re.compile(r"(\d+h)?(\d+m)?(\d+s)?")
BYTES = re.compile(r"\d+[kmg]b?")
VARIABLE = re.compile(r"(?<!\$)\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))")


def test_the_file_has_no_key_the_specification_does_not_know() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} <= TOP_LEVEL
    for name, service in SERVICES.items():
        assert service.keys() <= SERVICE_KEYS, name
        assert service.get("healthcheck", {}).keys() <= HEALTH_KEYS, name
        assert isinstance(service["image"], str), name
        assert isinstance(service.get("command", []), list), name


def test_no_container_may_do_more_than_it_needs() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        needed = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"} if name in ("postgres", "redis") else set()
        assert set(service.get("cap_add", [])) == needed, name
        assert not {"privileged", "network_mode", "pid"} & service.keys(), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_durations_and_sizes_can_be_read() -> None:
    for name, service in SERVICES.items():
        health = service.get("healthcheck", {})
        durations = [health[key] for key in HEALTH_KEYS - {"test", "retries"} if key in health]
        for duration in [*durations, service.get("stop_grace_period", "1s")]:
            assert duration and DURATION.fullmatch(duration), (name, duration)
        memory = service.get("deploy", {}).get("resources", {}).get("limits", {}).get("memory", "1g")
        assert BYTES.fullmatch(_filled(memory)), (name, memory)


def test_every_variable_has_a_default_and_none_looks_like_a_setting() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    found = VARIABLE.findall(text)
    assert found
    for name, _default, bare in found:
        assert not bare, f"${bare} has no default"
        assert re.search(rf"\$\{{{name}:-", text), f"${name} has no default"
        assert not name.startswith("SORTLINE_")
        assert f"`{name}`" in (ROOT / "docs/operators.md").read_text(), f"operators are not told of {name}"


def test_the_settings_named_exist_and_their_values_are_valid() -> None:
    files = {name: f"/run/secrets/{name}" for name in COMPOSE["secrets"]}
    for name in OURS:
        environment = SERVICES[name].get("environment", {})
        fields = {}
        for variable, value in environment.items():
            assert variable.startswith("SORTLINE_"), variable
            field = variable.removeprefix("SORTLINE_").lower()
            assert field in Settings.model_fields, variable
            fields[field] = _filled(str(value))
            if variable.endswith("_FILE"):
                assert value in files.values(), variable
                assert Path(value).name in SERVICES[name]["secrets"], f"{name} is not given {value}"
        Settings(_env_file=None, **fields)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_a_service_depends_on_can_be_waited_for(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how["condition"] in CONDITIONS
        assert not SERVICES[other].get("profiles"), f"{other} may not be there"
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], f"{other} has no health check"
        else:
            assert "unless-stopped" not in SERVICES[other]["restart"], f"{other} never completes"


def test_only_migrated_databases_are_used() -> None:
    for name in set(OURS) - {"migrate", "flower"}:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_every_service_that_stays_is_watched_restarted_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"
    assert "stop_grace_period" in service
    assert "memory" in service["deploy"]["resources"]["limits"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_networks_volumes_configs_and_secrets_are_declared(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= COMPOSE["networks"].keys()
    assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
    assert {config["source"] for config in service.get("configs", [])} <= COMPOSE["configs"].keys()
    for volume in service.get("volumes", []):
        source, target, *mode = volume.split(":")
        assert source in COMPOSE["volumes"] and target.startswith("/") and mode in ([], ["ro"])


def test_nothing_is_declared_that_no_service_uses() -> None:
    used = {kind: set() for kind in ("networks", "volumes", "secrets")}  # type: dict[str, set[str]]
    for service in SERVICES.values():
        used["networks"] |= set(service["networks"])
        used["volumes"] |= {volume.partition(":")[0] for volume in service.get("volumes", [])}
        used["secrets"] |= set(service.get("secrets", []))
    assert used == {kind: COMPOSE[kind].keys() for kind in used}


def test_make_secrets_writes_every_secret_and_the_configuration_exists(secrets: Path) -> None:
    for secret in COMPOSE["secrets"].values():
        path = Path(secret["file"])
        assert path.parent == Path("deploy/secrets")
        assert (secrets / path.name).stat().st_size
    for config in COMPOSE["configs"].values():
        assert (ROOT / config["file"]).is_file()


def test_no_password_is_in_the_file() -> None:
    addresses = {"SORTLINE_WEB_URL", "SORTLINE_FLOWER_URL"}  # of pages: one with a password is refused
    for service in SERVICES.values():
        for variable in service.get("environment", {}).keys() - addresses:
            secret = re.search("PASSWORD|_URL|AUTH|TOKEN", variable)
            assert not secret or variable.endswith("_FILE"), variable


def test_only_what_has_a_password_is_published_and_only_here() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"web", "flower", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert all(SERVICES[name]["networks"] == ["inside"] for name in ("postgres", "redis", "worker", "prometheus"))


@pytest.mark.parametrize("name", [*OURS, "prometheus", "grafana"])
def test_containers_have_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"] and service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert name not in OURS or service["init"] is True


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists(name: str) -> None:
    _check_command(SERVICES[name]["command"])
    health = SERVICES[name].get("healthcheck", {}).get("test")
    if health and health[0] == "CMD":
        _check_command(health[1:])
    elif health:
        words = shlex.split(health[1].replace("$$", "$"))
        if words[0] == "celery":
            _check_command(words)


def test_the_containers_run_what_the_procfile_runs() -> None:
    outside = dict(line.split(": ", 1) for line in PROCFILE.read_text().splitlines() if ": " in line)
    for name, command in outside.items():
        assert _plain(SERVICES[name]["command"]) == _plain(shlex.split(command)), name


def test_one_process_owns_one_gpu() -> None:
    gpu = SERVICES["worker-gpu"]
    assert gpu["profiles"] == ["gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert gpu["environment"]["SORTLINE_DEVICE"] == "cuda"


def _check_command(command: list[str]) -> None:
    match command:
        case ["python", "-m", module]:
            spec = importlib.util.find_spec(module)
            assert spec is not None, module
            if spec.submodule_search_locations is not None:
                assert importlib.util.find_spec(f"{module}.__main__"), f"package {module} can't be run"
        case ["python", "-c", program]:
            compile(program, "healthcheck", "exec")
        case ["celery", "-A", package, "worker" | "beat" | "inspect", *_]:
            assert importlib.util.find_spec(f"{package}.celery"), package
        case ["sortline", subcommand, *_]:
            assert subcommand in cli.list_commands(click.Context(cli))
        case _:
            pytest.fail(f"unknown command {command}")


def _plain(command: list[str]) -> list[str]:
    """The command without how Python is called and where beat keeps its schedule, which may differ."""
    command = command[2:] if command[:3] == ["python", "-m", "celery"] else command
    return command[: command.index("-s")] if "-s" in command else command


def _filled(text: str) -> str:
    return VARIABLE.sub(lambda match: match[2] or "", text)
