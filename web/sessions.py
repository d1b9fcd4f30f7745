"""Who is signed in, by a session cookie, and the forms that they post."""

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, BinaryIO, Literal, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from db.queries import people
from db.session import session
from db.token_hash import hashed
from web.forms import Form, check_charset, check_fields, read_form
from web.links import link, root
from web.origin import check_origin

COOKIE = "__Host-sortline"
# Browsers allow __Host- for a whole host only; under a path, the cookie is for that path alone.
_PATH_COOKIE = "__Secure-sortline"
_KNOWN = "-known"
_KNOWN_S = 180 * 24 * 3600
_MOST_FORM_BYTES = 1_500_000  # 100,000 characters of any script take up to 1,200,000
_QUICK_FORM_BYTES = 100_000
_SIGNED_OUT = "You are no longer signed in, so nothing was changed. Sign in and send the form again."
_STALE = "The form belongs to another session, so nothing was changed. Reload its page and send it again."
# Fields in which people write at length. If a form is refused, they are shown again to copy; never a password.
_WRITTEN = ("description", "guideline", "names", "example", "examples", "text", "note", "reason", "because")
_ENROL = "Your role requires a second factor: set it up on your account page."


class PageRefused(HTTPException):
    """403 to a page's script for what the page or its person can mend; ``reason`` tells the script which it is.

    Nobody was refused a right, so the audit log does not count it.
    """

    def __init__(self, detail: str, reason: Literal["stale_page", "second_factor"]) -> None:
        super().__init__(403, detail)
        self.reason = reason


class Upload(NamedTuple):
    """A form that was posted with a file."""

    fields: Form
    name: str
    file: BinaryIO


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in; ``csrf`` is the token in their forms.

    ``has_factor``: they have a second factor; ``needs_factor``: their role requires one.
    """

    id: int
    name: str
    role: str
    csrf: str
    has_password: bool
    has_factor: bool
    needs_factor: bool

    @property
    def actor(self) -> str:
        """Their name in the audit log."""
        return f"user:{self.name}"

    def may(self, role: str) -> bool:
        """Whether the person has this role or a higher one."""
        return people.ROLES.index(self.role) >= people.ROLES.index(role)


def signed_in(request: Request, seen: bool = True) -> Person | None:
    """Who is signed in, if anyone is.

    Args:
        seen: False for a page that reloads itself: nobody need be in front of it.
    """
    token = session_token(request)
    if not token:
        return None
    settings = request.app.state.settings
    idle, lasts = timedelta(hours=settings.session_idle_h), timedelta(hours=settings.session_most_h)
    with session(settings.postgres_url) as opened:
        user = people.signed_in(opened, token, idle, seen, lasts)
        opened.commit()
    if user is None:
        return None
    least = settings.second_factor_from
    needs = least in people.ROLES and people.ROLES.index(user.role) >= people.ROLES.index(least)
    person = Person(
        user.id, user.name, user.role, _csrf(token), bool(user.password_hash), bool(user.totp_since), needs
    )  # fmt: skip
    request.state.actor = person.actor
    return person


def session_token(request: Request) -> str:
    """The value of the session's cookie; empty if there is none."""
    return request.cookies.get(_cookie_name(), "")


def known_browser(request: Request) -> bytes | None:
    """The sha256 of the cookie that marks a browser in which people signed in before; None if it has none."""
    token = request.cookies.get(_cookie_name() + _KNOWN)
    return hashed(token) if token else None


def new_browser(request: Request) -> tuple[str, bytes]:
    """A browser's cookie of that kind, or a new one, and its sha256."""
    token = request.cookies.get(_cookie_name() + _KNOWN, "")
    if not 40 <= len(token) <= 100:  # otherwise we did not make it
        token = secrets.token_urlsafe(32)
    return token, hashed(token)


def start_session(response: Response, token: str, browser: str) -> None:
    """Set the cookies of a session and of the browser, for the path that all pages are under.

    Browsers keep cookies with these names only where nobody can listen: over https, or on the machine itself.
    """
    path = root() or "/"
    response.set_cookie(_cookie_name(), token, httponly=True, samesite="lax", secure=True, path=path)
    known = _cookie_name() + _KNOWN
    response.set_cookie(known, browser, _KNOWN_S, httponly=True, samesite="lax", secure=True, path=path)


def end_session(response: Response) -> None:
    """Delete the cookie of a session in the browser."""
    response.delete_cookie(_cookie_name(), path=root() or "/", secure=True, httponly=True)


def _cookie_name() -> str:
    return _PATH_COOKIE if root() else COOKIE


def at_least(role: str, enrolled: bool = True) -> Callable[[Request], Awaitable[Person]]:
    """A dependency: the person who is signed in, with at least that role; others are sent to sign in, or get 403.

    Args:
        enrolled: whether people who need a second factor and have none are sent to set it up.
    """

    async def check(request: Request) -> Person:
        is_written = await _is_written(request)  # first, to give it back even if Postgres can't be reached
        person = await run_in_threadpool(signed_in, request)
        if person is None:
            if is_written:
                raise HTTPException(401, _SIGNED_OUT, {"WWW-Authenticate": "Cookie"})
            asked = f"?{request.url.query}" if request.url.query else ""
            back = request.scope["raw_path"].decode("latin-1") + asked
            if request.method != "GET":  # the address of a form is not a page
                back = link("/")
            raise HTTPException(303, "Sign in first.", {"Location": link(f"/sign-in?next={quote(back)}")})
        if enrolled and person.needs_factor and not person.has_factor:
            raise HTTPException(303, _ENROL, {"Location": link("/account/second-factor")})
        if not person.may(role):
            raise HTTPException(403, f"This needs the role {role}; {person.name} has the role {person.role}.")
        return person

    return check


async def _fields(request: Request) -> Form:
    """The fields of a posted form, which must come from a page of ours."""
    check_origin(request)
    raw = await request.body()
    if len(raw) > _MOST_FORM_BYTES:
        raise HTTPException(413, "The form is too large.")
    fields = await run_in_threadpool(read_form, raw) if len(raw) > _QUICK_FORM_BYTES else read_form(raw)
    request.state.written = [fields[name] for name in _WRITTEN if fields.get(name, "").strip()]
    return fields


async def _is_written(request: Request) -> bool:
    """Whether a person wrote something at length into the form that they sent."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/x-www-form-urlencoded"):
        await _fields(request)
    return bool(written(request))


def written(request: Request) -> Sequence[str]:
    """What a person wrote at length into the form that they sent, to be shown again if it is refused."""
    found: Sequence[str] = getattr(request.state, "written", ())
    return found


AnyForm = Annotated[Form, Depends(_fields)]


def _checked(request: Request, fields: AnyForm) -> Form:
    """The fields of a form that carries its session's token."""
    token = session_token(request)
    given = fields.get("csrf", "")
    if not hmac.compare_digest(given.encode(), _csrf(token).encode()):
        raise HTTPException(403, _STALE)
    return fields


def _scripted(request: Request) -> Person:
    """Who is signed in, for requests of our pages' scripts; answers 401 if nobody is."""
    check_origin(request)
    person = signed_in(request)
    if person is None:
        raise HTTPException(401, "You are no longer signed in.", {"WWW-Authenticate": "Cookie"})
    given = request.headers.get("x-csrf-token", "")
    if request.method != "GET" and not hmac.compare_digest(given.encode(), person.csrf.encode()):
        if given and request.headers.get("x-person") == str(person.id):
            raise PageRefused("The page is from before your newest session; reload it.", "stale_page")
        raise HTTPException(403, "The page belongs to another person or to nobody; reload it.")
    return person


def _enrolled(person: Annotated[Person, Depends(_scripted)]) -> Person:
    """The same, unless their role requires a second factor and they have none."""
    if person.needs_factor and not person.has_factor:
        raise PageRefused(_ENROL, "second_factor")
    return person


async def _upload(request: Request) -> AsyncIterator[Upload]:
    """A form with a file, which must come from a page of ours and carry its session's token."""
    check_origin(request)
    check_charset(request)
    async with request.form(max_files=1, max_fields=20, max_part_size=10_000) as posted:
        fields = check_fields({name: value for name, value in posted.items() if isinstance(value, str)})
        file = posted.get("file")
        _checked(request, fields)
        if not isinstance(file, UploadFile):
            raise HTTPException(422, "The form contains no file.")
        named = check_fields({"file": file.filename or ""})["file"]
        yield Upload(fields, named, file.file)


PostedForm = Annotated[Form, Depends(_checked)]
PostedFile = Annotated[Upload, Depends(_upload)]
ScriptedSignedIn = Annotated[Person, Depends(_scripted)]
Scripted = Annotated[Person, Depends(_enrolled)]
SignedIn = Annotated[Person, Depends(at_least("reviewer", enrolled=False))]
Reviewer = Annotated[Person, Depends(at_least("reviewer"))]
Lead = Annotated[Person, Depends(at_least("lead"))]
Admin = Annotated[Person, Depends(at_least("admin"))]


def own_path(path: str) -> str:
    """Where to go after signing in: always a page of ours, whatever was requested."""
    try:
        parts = urlsplit(path)
    except ValueError:
        return link("/")
    steps = unquote(parts.path).replace("\\", "/").split("/")
    elsewhere = parts.scheme or parts.netloc or path.startswith("/\\") or ".." in steps
    return path if parts.path and not elsewhere and f"{parts.path}/".startswith(link("/")) else link("/")


def _csrf(token: str) -> str:
    """A token that only pages of the session know; they can't read the cookie itself."""
    return hmac.new(token.encode(), b"sortline form", hashlib.sha256).hexdigest()
