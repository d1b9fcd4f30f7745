"""A report is shown as the trainer wrote it or not at all, and can do nothing in the name of who reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import chromium
from filled_queue import add_document, add_labels
from reports import add_report
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ModelVersion
from db.queries import model_versions
from tests.web.conftest import Browser
from web.sessions import COOKIE

browser = pytest.fixture(scope="module")(chromium)

# Opens the page of model versions, which a page of the same origin may steer, and rolls back there; or asks itself.
ATTACK = """
<SCRIPT>
const attack = () => {
  const other = open("/model-versions");
  setInterval(() => other.document.querySelector("form[action$=rollback]").submit(), 100);
  fetch("/model-versions/rollback", {method: "POST"});
};
</SCRIPT>
<p id="bait" onclick="attack()">click me</p>
"""


@pytest.fixture
def version(session: Session) -> ModelVersion:
    add_labels(session)
    return session.scalars(select(ModelVersion)).one()


def test_a_report_has_its_texts_from_the_database(
    sign_in_as: Callable[..., Browser], session: Session, version: ModelVersion, tmp_path: Path
) -> None:
    document, erased = add_document(session, "<b>a text & more</b>" + "x" * 3000), 10**6
    add_report(session, version, tmp_path, [document, erased], "<script src='texts.js'></script>")
    (tmp_path / "texts.js").write_text("alert(1)")
    reviewer = sign_in_as("reviewer")

    page = reviewer.get(f"/model-versions/{version.id}/report")

    assert "&lt;b&gt;a text &amp; more&lt;/b&gt;xxx" in page.text and "<b>" not in page.text
    assert page.text.count("x" * 1900) == 1 and "x" * 2000 not in page.text
    assert page.text.count("text not stored here") == 1 and "<script" not in page.text
    assert page.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert page.headers["cache-control"] == "no-store"
    assert reviewer.get(f"/model-versions/{version.id}/texts.js").status_code == 404


def test_a_replaced_report_is_not_shown(
    sign_in_as: Callable[..., Browser], session: Session, version: ModelVersion, tmp_path: Path
) -> None:
    reviewer, path = sign_in_as("reviewer"), f"/model-versions/{version.id}/report"
    assert "has no report" in reviewer.get(path).json()["detail"]
    add_report(session, version, tmp_path)

    (tmp_path / "report.html").write_text("<p>All is well")
    changed = reviewer.get(path, headers={"Accept": "text/html"})
    assert (changed.status_code, "All is well" in changed.text) == (409, False)
    assert "was changed after the training wrote it" in changed.text and str(tmp_path) not in changed.text

    (tmp_path / "report.html").unlink()
    gone = reviewer.get(path)
    assert (gone.status_code, str(tmp_path) in gone.text) == (404, False)
    version.report_sha256 = None
    session.commit()
    assert "before reports had checksums" in reviewer.get(path).json()["detail"]


def test_answers_do_not_say_where_a_report_lies(
    web: httpx.Client, session: Session, version: ModelVersion, tmp_path: Path
) -> None:
    add_report(session, version, tmp_path)

    answer = web.get("/v1/model-versions")

    assert (answer.status_code, str(tmp_path) in answer.text) == (200, False)


def test_a_script_in_a_report_can_not_roll_back(
    browser: Any, web: httpx.Client, sign_in_as: Callable[..., Browser], session: Session, version: ModelVersion,
    tmp_path: Path,
) -> None:  # fmt: skip
    described = {"checkpoint_uri": "x", "sha256": "0", "base_model": "t", "label_ids": version.label_ids}
    _, newer = (model_versions.create(session, **described) for _ in range(2))
    for each in (newer.id - 1, newer.id):
        model_versions.activate(session, each, "tests")
    add_report(session, version, tmp_path, (), ATTACK)  # even where the database takes it for the trainer's
    lead = sign_in_as("lead")
    base = str(web.base_url).rstrip("/")
    context = browser.new_context()
    context.add_cookies([{"name": COOKIE, "value": lead.cookies[COOKIE], "url": base.replace("http:", "https:")}])
    page = context.new_page()
    page.goto(f"{base}/model-versions")
    assert page.locator("form[action$=rollback]").count() == 1
    page.goto(f"{base}/model-versions/{version.id}/report")
    page.locator("#bait").click()
    page.wait_for_timeout(1000)

    session.expire_all()
    active = model_versions.active(session)
    assert active is not None and active.id == newer.id
    assert len(context.pages) == 1
    context.close()
