"""The second factor: set up with the password, asked for at each sign-in, each code right once."""

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pyotp
import pytest
from browser import chromium, is_fit_for_all, open_link
from desk_pages import SHOWN
from filled_queue import add_document, add_labels, unlike
from kept_passwords import kept_hash
from sqlalchemy.orm import Session

from db.models import AuditEvent, RecoveryCode, Review, SignInFailure, User, UserSession
from db.queries import people
from tests.web.conftest import Browser
from tests.web.test_people import PASSWORD, token_of
from web.sign_in.second_factor import step_of

browser = pytest.fixture(scope="module")(chromium)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def code(secret: str = SECRET, later: int = 0) -> str:
    """The code of now, or of so many steps of 30 s later."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * later)


@pytest.fixture
def ann(session: Session) -> User:
    """Somebody with a password and a second factor."""
    user = people.add(session, "ann", "lead", "tests")
    user.password_hash, user.totp_secret, user.totp_since = kept_hash(PASSWORD), SECRET, user.created_at
    session.commit()
    return user


@pytest.fixture
def door(web: httpx.Client) -> Any:
    with httpx.Client(base_url=web.base_url, timeout=60) as client:
        yield client


def give_password(door: httpx.Client, **more: str) -> httpx.Response:
    return door.post("/sign-in", data={"name": "ann", "password": PASSWORD, "next": "/labels", **more})


def give_code(door: httpx.Client, asked: httpx.Response, given: str) -> httpx.Response:
    found = re.search(r'name="step" value="([^"]+)"', asked.text)
    assert found, asked.text
    return door.post("/sign-in/code", data={"step": found[1], "code": given, "next": "/labels"})


def test_the_codes_are_those_of_rfc_6238() -> None:
    """Appendix B: the last six digits of its eight, for SHA-1."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for now, said in ((1234567890, "005924"), (1111111109, "081804"), (2000000000, "279037")):
        assert step_of(secret, said, now) == now // 30
        assert [step_of(secret, said, now + 30 * off) is not None for off in (-2, -1, 1, 2)] == [
            False,
            True,
            True,
            False,
        ]
    assert step_of("", "005924", 1234567890) is None


def test_signing_in_takes_both_and_a_code_only_once(door: httpx.Client, ann: User, session: Session) -> None:
    asked = give_password(door)
    assert (asked.status_code, asked.headers["cache-control"]) == (200, "no-store")
    assert "set-cookie" not in asked.headers and session.query(UserSession).count() == 0
    wrong = give_code(door, asked, "000000" if code() != "000000" else "000001")
    assert (wrong.status_code, "That code is wrong" in wrong.text) == (401, True)
    now = code()
    done = give_code(door, wrong, now)
    assert (done.status_code, done.headers["location"]) == (303, "/labels")
    assert session.query(SignInFailure).count() == 0
    with Browser(door.base_url, token_of(done)) as browser:
        assert browser.get("/account").url.path == "/account"
    # Neither the code nor the way half in is taken again.
    again = give_password(door)
    assert give_code(door, again, now).status_code == 401
    assert give_code(door, asked, code(later=1)).status_code == 401
    other_digits = code(later=1).translate({ord("0") + i: ord("\N{FULLWIDTH DIGIT ZERO}") + i for i in range(10)})
    assert give_code(door, again, f" {other_digits[:3]}\u00a0{other_digits[3:]} ").status_code == 303
    # A script that has both sends them together, as the desk does.
    assert give_password(door, code="12").status_code == 401
    assert "set-cookie" not in door.post("/sign-in/code", data={"step": "x", "code": code()}).headers


def test_codes_are_counted_as_passwords_are(door: httpx.Client, ann: User) -> None:
    asked = give_password(door)
    statuses = [give_code(door, asked, f"12345{i}").status_code for i in range(6)]
    assert statuses == [401] * 5 + [429]
    assert give_password(door).status_code == 429


def test_a_link_asks_for_the_code_too(door: httpx.Client, ann: User, session: Session) -> None:
    link = people.make_link(session, ann, "tests")
    session.commit()
    asked = door.post(f"/sign-in/{link}")
    assert (asked.status_code, "set-cookie" in asked.headers) == (200, False)
    done = give_code(door, asked, code())
    new = "stapled umbrella walnut"
    with Browser(door.base_url, token_of(done)) as browser:
        assert browser.send_form("/account/password", password=new, again=new).status_code == 200


def test_setting_it_up_recovering_and_taking_it_away(
    sign_in_as: Callable[..., Browser], door: httpx.Client, session: Session
) -> None:
    browser = sign_in_as("reviewer", "bob")
    bob = people.by_name(session, "bob")
    bob.password_hash = kept_hash(PASSWORD)
    session.commit()
    page = browser.send_form("/account/second-factor/begin")
    session.refresh(bob)
    secret = bob.totp_secret or ""
    assert (page.url.path, len(secret), secret in page.text, "<svg" in page.text) == (
        "/account/second-factor", 32, True, True,
    )  # fmt: skip
    path = "/account/second-factor/confirm"
    # Whoever finds the browser open does not know the password; and nothing is asked for before a code was right.
    assert browser.send_form(path, present="wrong", code=code(secret)).status_code == 403
    assert browser.send_form(path, present=PASSWORD, code="1").status_code == 403
    assert door.post("/sign-in", data={"name": "bob", "password": PASSWORD}).status_code == 303
    done = browser.send_form(path, present=PASSWORD, code=code(secret))
    codes = re.findall(r"<code>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</code>", done.text)
    assert (done.status_code, len(codes), done.headers["cache-control"]) == (200, 10, "no-store")
    assert not any(each.encode() in row.code_hash for each in codes for row in session.query(RecoveryCode))
    assert secret not in browser.get("/account/second-factor").text

    asked = door.post("/sign-in", data={"name": "bob", "password": PASSWORD})
    assert give_code(door, asked, codes[0].upper()).status_code == 303
    asked = door.post("/sign-in", data={"name": "bob", "password": PASSWORD})
    assert give_code(door, asked, codes[0]).status_code == 401
    renewed = browser.send_form("/account/second-factor/codes", code=codes[1])
    assert "Your recovery codes" in renewed.text and codes[2] not in renewed.text
    assert browser.send_form("/account/second-factor/remove", code=codes[2]).status_code == 403
    assert browser.send_form("/account/second-factor/remove", code=code(secret, later=1)).status_code == 200
    assert door.post("/sign-in", data={"name": "bob", "password": PASSWORD}).status_code == 303
    done = {row.action for row in session.query(AuditEvent).filter_by(subject=f"user:{bob.id}")}
    assert {"second factor set", "recovery codes made", "second factor removed"} <= done


def test_a_setting_says_who_must_have_one(web_with: Callable[..., Any], session: Session) -> None:
    tokens = {}
    for name, role in (("rita", "reviewer"), ("lea", "lead")):
        tokens[name] = people.sign_in(session, people.add(session, name, role, "tests"), "")
    session.commit()
    with web_with(second_factor_from="lead") as web:
        with Browser(web.base_url, tokens["rita"]) as rita:
            assert rita.get("/labels").url.path == "/labels"
        with Browser(web.base_url, tokens["lea"]) as lea:
            for path in ("/labels", "/desk", "/model-versions"):
                assert lea.get(path).url.path == "/account/second-factor"
            assert lea.send_form("/training-runs").url.path == "/account/second-factor"
            scripted = lea.post("/desk/next", json={}, headers={"X-CSRF-Token": lea.csrf})
            assert (scripted.status_code, scripted.json()["reason"]) == (403, "second_factor")
            lea.send_form("/account/second-factor/begin")
            user = people.by_name(session, "lea")
            session.refresh(user)
            assert lea.send_form("/account/second-factor/confirm", code=code(user.totp_secret)).status_code == 200
            assert lea.get("/labels").url.path == "/labels"
            assert lea.send_form("/account/second-factor/remove", code=code(user.totp_secret, 1)).status_code == 403


def test_who_lost_it_is_let_in_by_the_machine(sortline: Callable[..., Any], session: Session, ann: User) -> None:
    people.sign_in(session, ann, "")
    session.commit()
    assert '"second_factor": true' in sortline("users", "list", "--json").stdout
    assert sortline("users", "reset-second-factor", "ann").returncode == 0
    session.refresh(ann)
    assert (ann.totp_secret, ann.totp_since, session.query(UserSession).count()) == (None, None, 0)
    assert sortline("users", "reset-second-factor", "nobody").returncode == 1


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_pages_in_a_browser(
    browser: Any, web: httpx.Client, session: Session, width: int, scheme: str, tmp_path: Any
) -> None:
    user = people.add(session, "ann", "reviewer", "tests")
    user.password_hash = kept_hash(PASSWORD)
    people.sign_in(session, user, "192.0.2.7", "Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/140.0")
    link = people.make_link(session, user, "tests")
    session.commit()
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(10_000)
    troubles: list[str] = []
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)

    def look(name: str) -> None:
        assert is_fit_for_all(page, width), name
        page.screenshot(path=str(tmp_path / f"{name}.png"), full_page=True)

    page.goto(f"{web.base_url}/sign-in/{link}")
    look("link")
    open_link(page, f"{web.base_url}/sign-in/{link}")
    look("account")
    page.click("text=Set it up")
    page.click("button:has-text('Set it up')")
    page.wait_for_selector(".qr svg")
    look("enrol")
    secret = page.inner_text(".secret")
    page.fill("#code", code(secret))
    page.click("text=Turn it on")
    page.wait_for_selector(".codes")
    look("codes")
    page.goto(f"{web.base_url}/account/second-factor")
    look("factor")
    page.goto(f"{web.base_url}/account")
    page.click("text=End this session")
    page.wait_for_load_state()
    page.click("form.end button")
    page.wait_for_url(f"{web.base_url}/")
    page.goto(f"{web.base_url}/sign-in?next=/account")
    look("sign-in")
    page.fill("#name", "ann")
    page.fill("#password", PASSWORD)
    page.click("main form button")
    page.wait_for_selector("input[name=step]", state="attached")
    look("code")
    page.fill("#code", code(secret, later=1))
    page.click("main form button")
    page.wait_for_url(f"{web.base_url}/account")
    assert page.locator("text=End this session").count() == 0
    assert troubles == []
    context.close()


def test_the_desk_asks_for_the_code_when_the_session_ended(
    browser: Any, web: httpx.Client, session: Session, ann: User
) -> None:
    link = people.make_link(session, ann, "tests")
    session.commit()
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(10_000)
    open_link(page, f"{web.base_url}/sign-in/{link}")
    page.fill("#code", code())
    page.click("main form button")
    page.wait_for_url(f"{web.base_url}/account")
    page.goto(f"{web.base_url}/desk")
    page.wait_for_load_state("networkidle")
    context.clear_cookies()
    page.wait_for_selector("#session-dialog[open]")
    page.fill("#session-password", PASSWORD)
    page.fill("#session-code", code(later=1))
    page.click("#session-dialog button")
    page.wait_for_selector("#session-dialog", state="hidden")
    context.close()


def test_the_desk_says_that_the_role_needs_a_second_factor_and_where_to_set_it_up(
    browser: Any, web_with: Callable[..., Any], session: Session
) -> None:
    add_labels(session)
    for number in range(3):
        add_document(session, unlike(number))
    user = people.add(session, "lea", "reviewer", "tests")
    link = people.make_link(session, user, "tests")
    session.commit()
    with web_with(second_factor_from="lead") as web:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(15_000)
        open_link(page, f"{web.base_url}/sign-in/{link}")
        page.goto(f"{web.base_url}/desk")
        page.wait_for_selector(SHOWN)

        user.role = "lead"
        session.commit()
        page.keyboard.press("2")

        page.wait_for_selector(
            "#trouble >> text=Your role requires a second factor, and you have none. One decision is kept here and will be "
            "sent when you have set one up."
        )
        assert page.locator("#refused").is_hidden()
        with context.expect_page() as opened:
            page.click("#trouble >> text=Set up a second factor")
        other = opened.value
        other.wait_for_url(f"{web.base_url}/account/second-factor")
        other.click("button:has-text('Set it up')")
        other.wait_for_selector(".qr svg")
        other.fill("#code", code(other.inner_text(".secret")))
        other.click("text=Turn it on")
        other.wait_for_selector(".codes")
        page.wait_for_selector("#trouble", state="hidden", timeout=30_000)
        session.rollback()
        assert session.query(Review).count() == 1
        assert session.query(AuditEvent).filter(AuditEvent.hour.is_not(None)).count() == 0
        context.close()
