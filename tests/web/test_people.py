"""People sign in by password or by a link, and only pages of ours change anything."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from kept_passwords import kept_hash
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import AuditEvent, SignInFailure, User, UserSession
from db.queries import people
from db.token_hash import hashed
from sortline.errors import InvalidInputError
from sortline.settings import Settings
from tests.web.conftest import Browser
from web.addresses import network_of
from web.app import create_app
from web.sessions import COOKIE
from web.sign_in.hashing import Hashing
from web.sign_in.passwords import hash_password, is_right

PASSWORD = "correct horse battery"
SignInAs = Callable[..., Browser]


@pytest.fixture
def ann(session: Session) -> User:
    user = people.add(session, "ann", "lead", "tests")
    user.password_hash = kept_hash(PASSWORD)
    session.commit()
    return user


@pytest.fixture
def door(web: httpx.Client) -> Iterator[httpx.Client]:
    """A browser that nobody is signed in with."""
    with httpx.Client(base_url=web.base_url, timeout=60) as client:
        yield client


def sign_in(door: httpx.Client, password: str = PASSWORD, name: str = "ann", **more: str) -> httpx.Response:
    return door.post("/sign-in", data={"name": name, "password": password, **more})


@pytest.fixture
def audited(session: Session, eventually: Callable[..., None]) -> Callable[[int], dict[tuple[str, str], int]]:
    """What was counted as refused, once it is so much: actor and action, and how often."""

    def counted() -> dict[tuple[str, str], int]:
        session.rollback()
        rows = session.query(AuditEvent).filter(AuditEvent.hour.is_not(None))
        return {(row.actor, row.action): row.times for row in rows}

    def audited(times: int) -> dict[tuple[str, str], int]:
        eventually(lambda: sum(counted().values()) >= times)
        return counted()

    return audited


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    return {name: value for each in answer.headers.get_list("set-cookie") for name, value in [first_pair(each)]}


def first_pair(cookie: str) -> tuple[str, str]:
    name, _, value = cookie.partition(";")[0].partition("=")
    return name, value


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
    assert (answer.status_code, "The name or the password is wrong" in answer.text) == (401, True)
    assert "set-cookie" not in answer.headers


def test_after_five_wrong_passwords_the_right_one_is_not_looked_at(
    door: httpx.Client, ann: User, session: Session, audited: Callable[..., dict[tuple[str, str], int]]
) -> None:
    assert [sign_in(door, "wrong").status_code for _ in range(5)] == [401] * 5
    shut = sign_in(door)
    assert (shut.status_code, shut.headers["retry-after"]) == (429, "900")
    assert sign_in(door, "wrong", "bob").status_code == 401
    told = {("user:ann", "wrong password or code"): 5, ("user:ann", "shut out"): 1}
    assert audited(7) == told | {("unknown", "wrong password or code"): 1}

    session.execute(text("UPDATE sign_in_failures SET created_at = created_at - interval '16 minutes'"))
    session.commit()
    assert sign_in(door).status_code == 303
    left = session.query(SignInFailure).one()
    assert "bob" not in left.name  # nobody's: it may be a password


def test_of_many_at_once_no_more_are_checked_than_one_after_the_other(
    web: httpx.Client, ann: User, session: Session
) -> None:
    with ThreadPoolExecutor(45) as pool, httpx.Client(base_url=web.base_url, timeout=60) as client:
        statuses = Counter(pool.map(lambda _: sign_in(client, "wrong").status_code, range(45)))
    assert set(statuses) <= {401, 429, 503}
    assert statuses[401] <= 5
    assert session.query(SignInFailure).count() == statuses[401]


def test_nobody_can_lock_out_a_browser_that_signed_in_before(door: httpx.Client, ann: User, session: Session) -> None:
    known = {name: value for name, value in cookies_of(sign_in(door)).items() if name.endswith("-known")}
    assert len(known) == 1

    def attempts(count: int, name: str = "ann") -> None:
        session.add_all(SignInFailure(name=name, address=f"192.0.2.{i % 250}") for i in range(count))
        session.commit()

    attempts(99)
    assert sign_in(door, "wrong").status_code == 401  # the hundredth of the hour
    assert sign_in(door).status_code == 429
    assert door.post("/sign-in", data={"name": "ann", "password": "wrong"}, cookies=known).status_code == 401
    assert door.post("/sign-in", data={"name": "ann", "password": PASSWORD}, cookies=known).status_code == 303
    # It is known of her alone, and has a count of its own.
    people.add(session, "bob", "reviewer", "tests")
    attempts(100, "bob")
    assert door.post("/sign-in", data={"name": "bob", "password": "x"}, cookies=known).status_code == 429
    tried = [door.post("/sign-in", data={"name": "ann", "password": "x"}, cookies=known) for _ in range(6)]
    assert [answer.status_code for answer in tried] == [401] * 5 + [429]


def test_what_hashes_has_a_place_of_its_own_and_says_when_it_is_full(
    settings: Settings, ann: User, session: Session
) -> None:
    app = create_app(settings)
    app.state.hashing = Hashing(at_once=1, waiting=1)
    goes_on = threading.Event()

    async def full() -> None:
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            held = [asyncio.create_task(app.state.hashing.run(goes_on.wait)) for _ in range(2)]
            await asyncio.sleep(0)
            answer = await client.post("/sign-in", data={"name": "ann", "password": PASSWORD})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert (await client.get("/health/ready")).status_code == 200
            assert session.query(SignInFailure).count() == 0  # it was not checked
            goes_on.set()
            await asyncio.gather(*held)
            answer = await client.post("/sign-in", data={"name": "ann", "password": PASSWORD})
            assert answer.status_code == 303

    asyncio.run(full())


def test_addresses_of_one_subscriber_are_one() -> None:
    assert {network_of(f"2001:db8:1:2:{i}::1") for i in range(9)} == {"2001:db8:1:2::/64"}
    assert network_of("2001:db8:1:3::1") == "2001:db8:1:3::/64"
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize("goal", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_leads_to_pages_of_ours_alone(door: httpx.Client, ann: User, goal: str) -> None:
    assert sign_in(door, next=goal).headers["location"] == "/first-steps"  # a lead's, of a new installation


def test_a_link_signs_in_once_and_then_a_password_is_chosen(door: httpx.Client, session: Session) -> None:
    user = people.add(session, "bob", "reviewer", "tests")
    link = people.make_link(session, user, "tests")
    session.commit()

    for _ in range(3):  # a preview of the link
        looked = door.get(f"/sign-in/{link}")
        assert (looked.status_code, "set-cookie" in looked.headers) == (200, False)
        assert (looked.headers["cache-control"], "bob" in looked.text) == ("no-store", False)
    first, second = door.post(f"/sign-in/{link}"), door.post(f"/sign-in/{link}")
    assert (first.status_code, first.headers["location"]) == (303, "/account")
    assert (second.status_code, "has been used already" in second.text) == (401, True)
    assert door.get(f"/sign-in/{link}").status_code == 401

    with Browser(door.base_url, token_of(first)) as browser:
        short = browser.send_form("/account/password", password="too short", again="too short")
        assert (short.status_code, "at least 12 characters" in short.text) == (422, True)
        differ = browser.send_form("/account/password", password=PASSWORD, again=PASSWORD + "x")
        assert (differ.status_code, "differ" in differ.text) == (422, True)
        assert browser.send_form("/account/password", password=PASSWORD, again=PASSWORD).status_code == 200
        assert sign_in(door, name="bob").status_code == 303
        refused = browser.send_form("/account/password", present="?", password=PASSWORD, again=PASSWORD)
        assert (refused.status_code, "not your current password" in refused.text) == (403, True)
    rows = session.query(AuditEvent).filter(AuditEvent.hour.is_(None)).order_by(AuditEvent.id).all()
    assert [row.action for row in rows] == ["user added", "link made", "signed in", "password set", "signed in"]
    assert [row.address for row in rows] == [None, None, *["127.0.0.1"] * 3]


def test_who_forgot_their_password_sets_a_new_one_by_a_link(door: httpx.Client, ann: User, session: Session) -> None:
    link = people.make_link(session, ann, "tests")
    session.commit()
    new = "stapled umbrella walnut"
    with Browser(door.base_url, token_of(door.post(f"/sign-in/{link}"))) as browser:
        assert "without the current one" in browser.get("/account").text
        assert browser.send_form("/account/password", password=new, again=new).status_code == 200
        assert sign_in(door, new).status_code == 303
        assert sign_in(door).status_code == 401
        # Once: whoever finds the browser open needs the password from now on.
        assert browser.send_form("/account/password", password=PASSWORD, again=PASSWORD).status_code == 403
    link = people.make_link(session, ann, "tests")
    session.commit()
    with Browser(door.base_url, token_of(door.post(f"/sign-in/{link}"))) as browser:
        session.execute(text("UPDATE user_sessions SET resets_until = now() - interval '1 second'"))
        session.commit()
        assert browser.send_form("/account/password", password=PASSWORD, again=PASSWORD).status_code == 403


def test_a_person_sees_where_they_are_signed_in_and_signs_out_there(
    sign_in_as: SignInAs, door: httpx.Client, session: Session
) -> None:
    here, other = sign_in_as("reviewer", "bob"), sign_in_as("reviewer", "ann")
    phone = "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36"
    bob = people.by_name(session, "bob")
    there = [people.sign_in(session, bob, f"192.0.2.{i}", phone + "<script>") for i in range(3)]
    session.commit()
    shown = here.get("/account").text
    assert shown.count("End this session") == 3
    for part in ("This browser", "Chrome on Android", "192.0.2.1"):
        assert part in shown
    assert other.get("/account").text.count("End this session") == 0

    ended = hashed(there[0]).hex()
    other.send_form("/account/sessions/end", session=ended)  # none of hers
    here.send_form("/account/sessions/end", session="no number")
    assert session.query(UserSession).count() == 5
    here.send_form("/account/sessions/end", session=ended)
    assert session.get(UserSession, hashed(there[0])) is None
    here.send_form("/account/sessions/end", session="others")
    assert session.query(UserSession).filter_by(user_id=bob.id).count() == 1
    assert here.get("/account").url.path == "/account"


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
    assert door.post(f"/sign-in/{link}").status_code == 401
    assert bob.get("/account").url.path == "/sign-in"

    session.execute(text("UPDATE user_sessions SET seen_at = now(), created_at = now() - interval '8 days'"))
    session.commit()
    assert bob.get("/account").url.path == "/sign-in"


def test_settings_say_how_long_a_session_lasts(web_with: Callable[..., Any], session: Session) -> None:
    user = people.add(session, "bob", "reviewer", "tests")
    token = people.sign_in(session, user, "")
    session.execute(text("UPDATE user_sessions SET created_at = now() - interval '3 hours'"))
    session.commit()
    for most, where in ((4.0, "/account"), (2.0, "/sign-in")):
        with web_with(session_most_h=most) as web, Browser(web.base_url, token) as browser:
            assert browser.get("/account").url.path == where


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
        assert (answer.status_code, "Sign in over https" in answer.text) == (403, True)


def test_a_page_for_others_says_so(sign_in_as: SignInAs) -> None:
    answer = sign_in_as("reviewer", "bob").send_form("/training-runs", {"Accept": "text/html"})
    assert answer.status_code == 403
    assert "This needs the role lead; bob has the role reviewer." in answer.text


def test_only_the_right_password_is_right() -> None:
    kept = hash_password(PASSWORD)
    assert kept.startswith("$argon2id$")
    assert is_right(PASSWORD, kept)
    assert not is_right(PASSWORD + " ", kept)
    assert not is_right("nobody's password", None)
    assert not is_right(PASSWORD, "no hash at all")


def test_a_password_is_the_same_however_its_accents_are_typed() -> None:
    composed, decomposed = "caf\u00e9 au lait s\u1ea5u", "cafe\u0301 au lait sa\u0302\u0301u"
    for kept in (hash_password(composed), hash_password(decomposed), PasswordHasher().hash(decomposed)):
        assert is_right(decomposed, kept)
    assert is_right(composed, hash_password(decomposed))
    assert not is_right("cafe au lait sau", hash_password(composed))


@pytest.mark.parametrize(
    "password",
    [
        "Password1234!", "passwordpassword", "qwertyuiop123", "aaaaaaaaaaaaaaa", "123456789012", "abcdefghijklm",
        "sortline2026", "Sortline12345", "annannannann", "Ann Miller 1", "letmeinletmein",
    ],
)  # fmt: skip
def test_passwords_that_are_tried_first_are_refused(password: str) -> None:
    with pytest.raises(InvalidInputError, match="first that an attacker tries"):
        hash_password(password, "Ann Miller")


@pytest.mark.parametrize("name", ["", " ", "a ", "a\nb", "a\u202eb", "x" * 101])
def test_a_name_that_can_not_be_read_is_refused(session: Session, name: str) -> None:
    with pytest.raises(InvalidInputError):
        people.add(session, name, "reviewer", "tests")
