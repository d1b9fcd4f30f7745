"""People sign in by password or by a link, and only pages of ours change anything."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import AuditEvent, SignInFailure, User, UserSession
from db.queries import people
from tests.web.conftest import Browser
from web.passwords import hash_password, is_right
from web.people import COOKIE

PASSWORD = "correct horse battery"
SignInAs = Callable[..., Browser]


@pytest.fixture
def ann(session: Session) -> User:
    user = people.add(session, "ann", "lead", "tests")
    user.password_hash = hash_password(PASSWORD)
    session.commit()
    return user


@pytest.fixture
def door(web: httpx.Client) -> Iterator[httpx.Client]:
    """A browser that nobody is signed in with."""
    with httpx.Client(base_url=web.base_url) as client:
        yield client


def sign_in(door: httpx.Client, password: str = PASSWORD, name: str = "ann", **more: str) -> httpx.Response:
    return door.post("/sign-in", data={"name": name, "password": password, **more})


def token_of(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"].partition("=")[2].partition(";")[0]


def test_without_signing_in_nothing_is_shown_or_done(door: httpx.Client) -> None:
    for path in ("/model-versions", "/training-runs/1", "/model-versions/1/report", "/account"):
        answer = door.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next={path}")
    answer = door.post("/model-versions/1/promote", data={})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/")


def test_name_and_password_start_a_session(door: httpx.Client, ann: User, session: Session) -> None:
    answer = sign_in(door, next="/model-versions")
    assert (answer.status_code, answer.headers["location"]) == (303, "/model-versions")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie
    token = token_of(answer)
    stored = session.query(UserSession).one()
    assert (stored.user_id, token.encode() in stored.token_hash) == (ann.id, False)
    with Browser(door.base_url, token) as browser:
        assert ">ann</bdi>" in browser.get("/model-versions").text


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong horse battery"), ("nobody", PASSWORD), ("import", "")])
def test_wrong_passwords_and_wrong_names_read_alike(door: httpx.Client, ann: User, name: str, password: str) -> None:
    answer = sign_in(door, password, name)
    assert (answer.status_code, "do not go together" in answer.text) == (401, True)
    assert "set-cookie" not in answer.headers


def test_after_five_wrong_passwords_the_right_one_is_not_looked_at(
    door: httpx.Client, ann: User, session: Session
) -> None:
    assert [sign_in(door, "wrong").status_code for _ in range(5)] == [401] * 5
    shut = sign_in(door)
    assert (shut.status_code, shut.headers["retry-after"]) == (429, "900")
    assert sign_in(door, "wrong", "bob").status_code == 401

    session.execute(text("UPDATE sign_in_failures SET created_at = created_at - interval '16 minutes'"))
    session.commit()
    assert sign_in(door).status_code == 303
    assert session.query(SignInFailure).count() == 0


@pytest.mark.parametrize("goal", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_leads_to_pages_of_ours_alone(door: httpx.Client, ann: User, goal: str) -> None:
    assert sign_in(door, next=goal).headers["location"] == "/"


def test_a_link_signs_in_once_and_then_a_password_is_chosen(door: httpx.Client, session: Session) -> None:
    user = people.add(session, "bob", "reviewer", "tests")
    link = people.make_link(session, user, "tests")
    session.commit()

    first, second = door.get(f"/sign-in/{link}"), door.get(f"/sign-in/{link}")
    assert (first.status_code, first.headers["location"]) == (303, "/account")
    assert (second.status_code, "was used already" in second.text) == (401, True)

    with Browser(door.base_url, token_of(first)) as browser:
        short = browser.send_form("/account/password", password="too short", again="too short")
        assert (short.status_code, "at least 12 characters" in short.text) == (422, True)
        differ = browser.send_form("/account/password", password=PASSWORD, again=PASSWORD + "x")
        assert (differ.status_code, "differ" in differ.text) == (422, True)
        assert browser.send_form("/account/password", password=PASSWORD, again=PASSWORD).status_code == 200
        assert sign_in(door, name="bob").status_code == 303
        refused = browser.send_form("/account/password", present="?", password=PASSWORD, again=PASSWORD)
        assert (refused.status_code, "not your password" in refused.text) == (403, True)
    actions = [row.action for row in session.query(AuditEvent).order_by(AuditEvent.id)]
    assert actions == ["user added", "link made", "signed in", "password set", "signed in"]


def test_a_new_password_ends_the_other_sessions(sign_in_as: SignInAs, door: httpx.Client, session: Session) -> None:
    here = sign_in_as("reviewer", "bob")
    elsewhere = people.sign_in(session, people.by_name(session, "bob"), "elsewhere")
    session.commit()
    here.send_form("/account/password", password=PASSWORD, again=PASSWORD)
    assert here.get("/account").url.path == "/account"
    with Browser(door.base_url, elsewhere) as browser:
        assert browser.get("/account").url.path == "/sign-in"


def test_an_old_link_and_an_old_session_do_not_work(sign_in_as: SignInAs, door: httpx.Client, session: Session) -> None:
    bob = sign_in_as("reviewer", "bob")
    link = people.make_link(session, people.by_name(session, "bob"), "tests")
    session.commit()
    assert bob.get("/account").url.path == "/account"
    session.execute(text("UPDATE sign_in_links SET expires_at = now() - interval '1 second'"))
    session.execute(text("UPDATE user_sessions SET seen_at = now() - interval '13 hours'"))
    session.commit()
    assert door.get(f"/sign-in/{link}").status_code == 401
    assert bob.get("/account").url.path == "/sign-in"

    session.execute(text("UPDATE user_sessions SET seen_at = now(), created_at = now() - interval '8 days'"))
    session.commit()
    assert bob.get("/account").url.path == "/sign-in"


def test_who_is_disabled_is_out_at_once(sign_in_as: SignInAs, door: httpx.Client, session: Session, ann: User) -> None:
    bob = sign_in_as("reviewer", "bob")
    people.set_disabled(session, "bob", True, "tests")
    people.set_disabled(session, "ann", True, "tests")
    session.commit()
    assert bob.get("/account").url.path == "/sign-in"
    assert sign_in(door).status_code == 401


def test_signing_out_ends_the_session(sign_in_as: SignInAs, session: Session) -> None:
    bob = sign_in_as("reviewer", "bob")
    assert bob.send_form("/sign-out").url.path == "/"
    assert session.query(UserSession).count() == 0
    assert bob.get("/account").url.path == "/sign-in"


def test_forms_need_the_token_of_their_session(sign_in_as: SignInAs) -> None:
    ann, bob = sign_in_as("lead", "ann"), sign_in_as("lead", "bob")
    for given in ({}, {"csrf": bob.csrf}, {"csrf": "é"}):
        assert ann.post("/training-runs", data=given).status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert ann.send_form("/training-runs", headers).status_code == 403
    assert ann.send_form("/training-runs", {"Origin": str(ann.base_url).rstrip("/")}).status_code in (200, 503)


def test_passwords_do_not_cross_a_network_in_the_clear(door: httpx.Client, ann: User) -> None:
    for headers in ({"Host": "sortline.example"}, {"Host": "10.1.2.3:8080"}):
        answer = door.post("/sign-in", data={"name": "ann", "password": PASSWORD}, headers=headers)
        assert (answer.status_code, "sign in over https" in answer.text) == (403, True)


def test_a_page_for_others_says_so(sign_in_as: SignInAs) -> None:
    answer = sign_in_as("reviewer", "bob").send_form("/training-runs", {"Accept": "text/html"})
    assert answer.status_code == 403
    assert "This is for the role lead; bob has the role reviewer." in answer.text


def test_only_the_right_password_is_right() -> None:
    kept = hash_password(PASSWORD)
    assert kept.startswith("$argon2id$")
    assert is_right(PASSWORD, kept)
    assert not is_right(PASSWORD + " ", kept)
    assert not is_right("nobody's password", None)
    assert not is_right(PASSWORD, "no hash at all")


@pytest.mark.parametrize("name", ["", " ", "a ", "a\nb", "a\u202eb", "x" * 101])
def test_a_name_that_can_not_be_read_is_refused(session: Session, name: str) -> None:
    with pytest.raises(people.InvalidInputError):
        people.add(session, name, "reviewer", "tests")
