"""The web under a path, behind a real nginx with TLS that strips the path or keeps it: no link leads out of it."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest
from browser import CHROMIUM, FLAGS, open_link
from filled_queue import add_document, add_labels, unlike
from kept_passwords import kept_hash
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.routing import compile_path

from db.models import (
    DeadLetter,
    Document,
    Grouping,
    ImportFile,
    Label,
    ModelVersion,
    Review,
    Topic,
    TopicDocument,
    TrainingRun,
)
from db.queries import bulk_decisions, incidents, people, shadows, webhooks
from db.queries.document_search import Filters
from sortline.cli.checks.finding import Finding
from sortline.cli.checks.web import check_web
from sortline.events import KINDS
from sortline.queue import pack_entry
from sortline.settings import Settings
from tests.conftest import ROOT as REPOSITORY
from tests.conftest import find_free_port
from tests.nginx import HOST, nginx, visitor
from tests.web.conftest import serving
from web.app import create_app

KEPT = (
    "sortline.desk.sortline/{}"  # by the desk, in the browser: not where a neighbour under another path keeps its own
)
PASSWORD = "a few plain words"
ROOT = f"https://{HOST}/sortline"
# As people write them down: with a path after the port nginx strips, without one it keeps; it names no host and no
# scheme by itself.
FORMS = {
    "strips": "location /sortline/ {{ proxy_pass http://127.0.0.1:{port}/; }}",
    "keeps": "location /sortline/ {{ proxy_pass http://127.0.0.1:{port}; }}",
    "strips with a slash too many": "location /sortline {{ proxy_pass http://127.0.0.1:{port}/; }}",
    "names its visitors": "location /sortline/ {{ proxy_pass http://127.0.0.1:{port}; proxy_set_header Host $host; "
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; }}",
    "names the host alone": "location /sortline/ {{ proxy_pass http://127.0.0.1:{port}/; "
    "proxy_set_header Host $http_host; }}",
}
# Pages that no link leads to: they are posted to, or come by mail or script.
_UNLINKED = {"/sign-in/{token}", "/desk/labels", "/desk/guidelines", "/desk/session", "/labels/{id}/merge",
             "/documents/of", "/model-versions/{id}/report", "/health/live", "/health/ready", "/metrics"}  # fmt: skip


@pytest.fixture
def behind(settings: Settings, session: Session) -> Iterator[Callable[[str], int]]:
    """The port on which nginx of a form answers: ``behind("strips")``; all forms stand before the same web."""
    del session
    ports = {name: find_free_port() for name in FORMS}
    under = settings.model_copy(update={"web_url": f"{ROOT}/"})
    with serving(under, None) as web:
        servers = {port: FORMS[name].format(port=web.base_url.port) for name, port in ports.items()}
        with nginx(servers):
            yield ports.__getitem__


class _Page(HTMLParser):
    """What a page leads to: by links and files, by forms that are posted, and by forms of what is chosen."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.posts: list[str] = []
        self.choices: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        target = given.get("action") or given.get("href") or given.get("src")
        if target and tag == "form":
            (self.posts if given.get("method") == "post" else self.choices).append(target)
        elif target:
            self.links.append(target)


def crawl(client: httpx.Client) -> tuple[set[str], set[str]]:
    """Paths of all pages and files that links lead to, each of which answered, and of all forms."""
    seen, posts, left = {"/sortline/"}, set(), deque(["/sortline/"])
    while left:
        path = left.popleft()
        answer = client.get(path)
        assert answer.status_code in (200, 303), (path, answer.status_code, answer.text[:300])
        kind, links, forms, chosen = answer.headers["content-type"], [], [], []
        if answer.status_code == 303:
            links = [answer.headers["location"]]
        elif kind.startswith("text/html"):
            found = _Page(answer.text)
            links, forms, chosen = found.links, found.posts, found.choices
        elif kind.startswith("text/javascript"):
            links = re.findall(r'from "(\./[\w.]+)"', answer.text)
        posts |= {inside(path, target) for target in forms}
        assert all(inside(path, target) for target in chosen)
        fresh = {inside(path, target) for target in links} - seen
        seen |= fresh
        left.extend(fresh)
    return seen, posts


def inside(path: str, target: str) -> str:
    """What a link of a page leads to, as a path of the host; it lies below the web's own."""
    whole = urldefrag(urljoin(f"https://{HOST}{path}", target)).url
    assert whole.startswith(f"{ROOT}/"), (path, target)
    return whole.removeprefix(f"https://{HOST}")


def fill(session: Session) -> None:
    """Something for every page to show."""
    labels = [label.id for label in add_labels(session)]
    ids = [add_document(session, f"card {unlike(i)}") for i in range(3)]
    lead = people.add(session, "ann", "admin", "tests")
    active = session.scalars(select(ModelVersion)).one()
    other = ModelVersion(checkpoint_uri="-", sha256="0", base_model="tiny", label_ids=labels)
    session.add_all([
        other,
        Label(name="virtual card"),  # which the model does not know
        TrainingRun(reason="asked", state="failed", error="made"),
        DeadLetter(lane="live", entry_id="1-0", source="mail", external_id="dead", reason="failed", detail="made",
                   raw=pack_entry([(b"id", b"dead")]), attempts=5),
    ])  # fmt: skip
    session.flush()
    grouping = Grouping(started_at=func.now(), ended_at=func.now(), documents=1, waiting=1)
    session.add(grouping)
    session.flush()
    topic = Topic(grouping_id=grouping.id, words=["card"], size=1, copies=False)
    session.add(topic)
    session.flush()
    session.add(TopicDocument(document_id=ids[2], topic_id=topic.id, place=0))
    shadows.start(session, other.id, 0.1, "tests")
    incidents.begin(session, incidents.DRIFT, active.id, 0.07, {"moved": [], "words": ["much"], "document_ids": ids})
    webhooks.add(session, "crm", "https://hooks.example.com/", KINDS, [], "tests")
    bulk = bulk_decisions.preview(session, Filters(), labels[0], lead.id, {})
    bulk_decisions.decide(session, bulk.id, lead.id, "user:ann")
    bulk_decisions.undo(session, bulk.id, lead.id, "user:ann")
    session.commit()


def link_of(session: Session, name: str = "ann") -> str:
    link = people.make_link(session, people.by_name(session, name), "tests")
    session.commit()
    return link


@pytest.mark.parametrize("form", ["strips", "keeps"])
def test_every_link_leads_somewhere_below_the_path(
    behind: Callable[[str], int], session: Session, settings: Settings, form: str
) -> None:
    fill(session)
    with visitor(behind(form), follow_redirects=False) as client:
        asked = client.get("/sortline/desk?x=1")
        assert (asked.status_code, asked.headers["location"]) == (303, "/sortline/sign-in?next=/sortline/desk%3Fx%3D1")
        outside, _ = crawl(client)
        begun = client.post(f"/sortline/sign-in/{link_of(session)}")
        assert (begun.status_code, begun.headers["location"]) == (303, "/sortline/account")
        cookie = begun.headers["set-cookie"]
        assert cookie.startswith("__Secure-sortline=")
        assert {"Path=/sortline", "Secure", "HttpOnly"} <= set(cookie.split("; "))
        signed_in, posts = crawl(client)
        for path in posts:
            assert client.post(path, headers={"Origin": f"https://{HOST}"}).status_code in (401, 403), path
            refused = client.post(path, headers={"Origin": "https://evil.example"})
            assert (refused.status_code, "other sites" in refused.text) == (403, True), path
        for asked_by_script in ("next", "decisions", "undo", "renew", "explanation"):
            assert client.post(f"/sortline/desk/{asked_by_script}").status_code == 403
    walked = {urlsplit(each).path.removeprefix("/sortline") for each in outside | signed_in}
    assert pages_of(settings) - {route for route in pages_of(settings) if any(fits(route, each) for each in walked)} \
        == _UNLINKED  # fmt: skip
    assert len(posts) > 15


def pages_of(settings: Settings) -> set[str]:
    """The paths of all that can be read without a token."""
    shown = [
        line for line in (REPOSITORY / "docs/http.md").read_text("utf-8").splitlines() if line.startswith("| `GET ")
    ]
    told = {line.split("`")[1].removeprefix("GET ") for line in shown}
    app = create_app(settings)
    return told | {path for path in app.openapi()["paths"] if not path.startswith("/v1/")}


def fits(route: str, path: str) -> bool:
    return bool(compile_path(route)[0].fullmatch(path))


def test_programs_and_probes_find_their_routes(behind: Callable[[str], int]) -> None:
    for form in FORMS:
        with visitor(behind(form)) as client:
            assert client.get("/sortline/health/live").json() == {"status": "ok"}, form
            assert client.get("/sortline/health/ready").status_code == 200
            assert "sortline_" in client.get("/sortline/metrics").text
            openapi = client.get("/sortline/openapi.json").json()
            assert openapi["servers"] == [{"url": "/sortline"}]
            asked = next(path for path in openapi["paths"] if path.endswith("/documents"))
            assert client.get(openapi["servers"][0]["url"] + asked).status_code == 401
            assert "/sortline/v1/documents" in client.get("/sortline/docs").text
            missing = client.get("/sortline/nowhere", headers={"Accept": "text/html"})
            assert (missing.status_code, 'href="/sortline/"' in missing.text) == (404, True)


def test_a_password_is_taken_whatever_nginx_tells_of_its_visitors(
    behind: Callable[[str], int], session: Session
) -> None:
    user = people.add(session, "bob", "reviewer", "tests")
    people.set_password_hash(session, user.id, kept_hash(PASSWORD), "tests", b"")
    session.commit()
    own = {"Origin": f"https://{HOST}", "Sec-Fetch-Site": "same-origin"}
    asked = {"name": "bob", "password": PASSWORD, "next": "/sortline/desk"}
    for form in FORMS:
        with visitor(behind(form)) as client:
            assert "plain http" not in client.get("/sortline/sign-in").text, form
            answer = client.post("/sortline/sign-in", data=asked, headers=own)
            assert (answer.status_code, answer.headers.get("location")) == (303, "/sortline/desk"), form
            strange = client.post("/sortline/sign-in", data=asked, headers={"Origin": "https://evil.example"})
            assert (strange.status_code, "set-cookie" in strange.headers) == (403, False)


def test_the_example_of_the_guide_leads_to_the_web(settings: Settings) -> None:
    guide = "\n".join(page.read_text("utf-8") for page in sorted((REPOSITORY / "docs").glob("*.md")))
    (example,) = re.findall(r"```nginx\nserver \{\n(.*?)\n\}\n```", guide, re.DOTALL)
    locations = re.sub(r"(?m)^ *(listen|server_name|ssl_certificate|ssl_certificate_key) .*$", "", example)
    assert len(re.findall("proxy_pass", locations)) == 2
    port = find_free_port()
    with ExitStack() as opened:
        web = opened.enter_context(serving(settings.model_copy(update={"web_url": ROOT}), None))
        opened.enter_context(nginx({port: locations.replace(":8080", f":{web.base_url.port}")}))
        with visitor(port) as client:
            assert client.get("/sortline/health/ready").json() == {"status": "ok"}
            assert client.get("/sortline").headers["location"] == f"https://{HOST}:{port}/sortline/"
            assert client.post("/sortline/v1/documents", content=b" " * 2**21).status_code == 401  # not nginx's 413


def test_the_doctor_asks_for_the_web_as_people_do(settings: Settings) -> None:
    port, shut = find_free_port(), find_free_port()

    def asked(settings: Settings) -> list[Finding]:
        return list(check_web(settings.web_address, settings.web_path, settings.web_port))

    under = settings.model_copy(update={"web_url": f"http://127.0.0.1:{port}/sortline"})
    with serving(under, None) as web, nginx({port: FORMS["strips"].format(port=web.base_url.port)}, tls=False):
        assert [finding.level for finding in asked(under)] == ["ok"]
        (elsewhere,) = asked(under.model_copy(update={"web_url": f"http://127.0.0.1:{port}/other"}))
        assert (elsewhere.level, "/other/health/live answers 404" in elsewhere.found) == ("warn", True)
        assert "make the proxy pass /other/ to the web's port" in str(elsewhere.advice)
    (away,) = asked(under.model_copy(update={"web_url": f"http://127.0.0.1:{shut}"}))
    assert (away.level, "can't be reached from this machine" in away.found) == ("warn", True)


@pytest.fixture
def open_browser() -> Iterator[Callable[[int], Any]]:
    """A page of a real Chromium that finds HOST on a port of this machine."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = []

        def open_browser(port: int) -> Any:
            rules = f"--host-resolver-rules=MAP {HOST}:443 127.0.0.1:{port}"
            opened.append(playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules]))
            page = opened[-1].new_context(ignore_https_errors=True, accept_downloads=True).new_page()
            page.set_default_timeout(15_000)
            return page

        yield open_browser
        for each in opened:
            each.close()


@pytest.mark.parametrize("form", ["strips", "keeps"])
def test_a_lead_works_in_a_browser(
    behind: Callable[[str], int],
    open_browser: Callable[[int], Any],
    session: Session,
    eventually: Callable[..., None],
    form: str,
) -> None:
    add_labels(session)
    for i in range(4):
        add_document(session, unlike(i))
    ann = people.add(session, "ann", "lead", "tests")
    page = open_browser(behind(form))
    asked: list[str] = []
    troubles: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))

    open_link(page, f"{ROOT}/sign-in/{link_of(session)}")
    page.wait_for_url(f"{ROOT}/account")
    page.fill("#password", PASSWORD)
    page.fill("#again", PASSWORD)
    page.click("text=Set the password")
    page.wait_for_selector("text=Your password is set")
    page.click("form.end button")
    page.wait_for_url(f"{ROOT}/")
    page.goto(f"{ROOT}/desk")
    page.wait_for_url(f"{ROOT}/sign-in?next=/sortline/desk")
    page.fill("#name", "ann")
    page.fill("#password", PASSWORD)
    page.click("button:has-text('Sign in')")

    page.wait_for_url(f"{ROOT}/desk")
    page.wait_for_selector("article.document:not([hidden])")
    page.keyboard.press("Enter")
    eventually(lambda: count(session, Review) == 1, 15)
    page.reload()  # what is asked for in the background has come when a document is shown
    page.wait_for_selector("article.document:not([hidden])")
    page.context.clear_cookies()  # the session ends: the desk asks for the password, and goes on
    page.keyboard.press("Enter")
    page.wait_for_selector("#session-dialog[open]")
    page.fill("#session-password", PASSWORD)
    page.click("#session-dialog button")
    eventually(lambda: count(session, Review) == 2, 15)
    assert page.evaluate("async () => (await indexedDB.databases()).map((each) => each.name)") == [KEPT.format(ann.id)]
    troubles[:] = [each for each in troubles if "401" not in each]  # of the session that ended

    page.click("nav >> text=documents")
    page.wait_for_url(f"{ROOT}/documents")
    with page.expect_download() as download:
        page.click("text=Download")
    assert "doc-0" in Path(download.value.path()).read_text("utf-8")
    page.click("nav >> text=labels")
    page.click("text=Import labelled files")
    page.wait_for_url(f"{ROOT}/import")
    lines = "\n".join(f"where is my card {unlike(i)},card arrival" for i in range(20))
    page.set_input_files(
        "#file", {"name": "a.csv", "mimeType": "text/csv", "buffer": f"text,label\n{lines}\n".encode()}
    )
    page.click("button:has-text('Preview')")
    page.wait_for_selector("text=Nothing is imported yet")
    assert count(session, ImportFile) == 1
    page.click("button:has-text('Import')")
    page.wait_for_selector("text=Imported")
    assert count(session, Document) == 24
    page.click("nav >> text=ann")
    page.click("form.end button")
    page.wait_for_url(f"{ROOT}/")

    assert [each for each in asked if not each.startswith(f"{ROOT}/")] == []
    assert troubles == []


def count(session: Session, table: type) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(table)) or 0
