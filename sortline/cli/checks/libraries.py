"""Are the libraries of each extra installed?"""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from sortline.cli.checks.finding import Finding


def check_libraries() -> Iterator[Finding]:
    """Whether each extra of the package is installed, missing, or installed in a version that does not fit."""
    if find_spec("packaging") is None:
        yield Finding("libraries", "warn", "can't be checked", "pip install packaging")
        return
    from packaging.requirements import Requirement

    wanted: dict[str, list[Requirement]] = {}
    for line in requires("sortline") or []:
        requirement = Requirement(line)
        extra = str(requirement.marker).rpartition("==")[2].strip(" \"'") if requirement.marker else ""
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):  # not for another Python
            wanted.setdefault(extra, []).append(requirement)
    for extra, requirements in wanted.items():
        if extra == "dev":
            continue
        name = f"libraries of {extra}" if extra else "libraries"
        install = f"pip install 'sortline[{extra}]'" if extra else "pip install sortline"
        have = {r.name: _installed(r.name) for r in requirements if r.name != "sortline"}
        missing = [library for library, found in have.items() if found is None]
        wrong = [f"{r.name} {have[r.name]} does not meet {r.specifier}" for r in requirements
                 if have.get(r.name) and not r.specifier.contains(str(have[r.name]), prereleases=True)]  # fmt: skip
        if wrong:
            yield Finding(name, "fail", ", ".join(wrong), install)
        elif missing and not extra:
            yield Finding(name, "fail", f"missing: {', '.join(missing)}", install)
        elif missing:
            yield Finding(name, "warn", f"missing: {', '.join(missing)}", f"{install}, if this machine should run it")
        else:
            yield Finding(name, "ok", ", ".join(f"{library} {found}" for library, found in have.items()))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
