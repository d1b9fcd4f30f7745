"""The site of docs/: every page can be found, and a broken link fails the build (`make docs` builds all of it)."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCS = ROOT / "docs"
LISTED = [page for pages in runpy.run_path(str(DOCS / "conf.py"))["NAVIGATION"].values() for page in pages]
LINK = re.compile(r"\]\((?!\w+:)([^)#]*)(?:#([^)]*))?\)")


def anchors(page: Path) -> set[str]:
    """Of the headings, as code hosts and the site name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_navigation() -> None:
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")}
    assert sorted(LISTED) == sorted(page for page in pages if page != "index" and "/0" not in page)


def test_every_decision_is_in_the_list_of_decisions() -> None:
    decisions = DOCS / "decisions"
    linked = re.findall(r"\((0\d{3}-[\w-]+\.md)\)", (decisions / "README.md").read_text(encoding="utf-8"))
    assert linked == sorted(page.name for page in decisions.glob("0*.md"))


def test_what_the_pages_outside_the_site_link_to_is_there() -> None:
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "examples/README.md"):
        for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name} links to {path}"
            assert not anchor or anchor in anchors(target), f"{page.name} links to {path}#{anchor}"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The site's configuration with a page of one line each."""
    shutil.copy(DOCS / "conf.py", tmp_path)
    (tmp_path / "decisions").mkdir()
    for page in ("index", "decisions/0001-one", *LISTED):
        (tmp_path / f"{page}.md").write_text(
            f"# Page\n\n[back]({os.path.relpath('index.md', Path(page).parent)}#page)\n"
        )
    return tmp_path


def build(site: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does, without the files that it writes."""
    options = re.search(r"-m (sphinx .*) docs build/docs", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert options is not None
    command = [sys.executable, "-m", *options[1].split(), "-b", "dummy", str(site), str(site / "built")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_site_with_whole_links_is_built(site: Path) -> None:
    done = build(site)
    assert (done.returncode, done.stderr) == (0, "")


def test_broken_links_and_unlisted_pages_fail_the_build(site: Path) -> None:
    broken = ("nowhere.md", "http.md#nowhere", "../nowhere.py")
    (site / "index.md").write_text("# Page\n\n![](nowhere.png)" + "".join(f" [a]({link})" for link in broken))
    (site / "unlisted.md").write_text("# Nobody finds it\n")

    done = build(site)

    assert done.returncode == 1
    for said in ("nowhere.md", "'nowhere'", "nowhere.py", "nowhere.png", "unlisted.md"):
        assert said in done.stderr
