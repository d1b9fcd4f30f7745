"""Who looks at a page: a person who is signed in, kept by a cookie, and the forms that they post."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, BinaryIO, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends, HTTPException, Request, Response
from starlette.datastructures import UploadFile

from db.queries import people
from db.session import session
from web.forms import Form, check_charset, check_fields, read_form
from web.links import link, root
from web.origin import check_origin

COOKIE = "__Host-sortline"
# Browsers hold __Host- to the whole host; under a path the cookie is for that path alone, not for its neighbours.
_PATH_COOKIE = "__Secure-sortline"
_MOST_FORM_BYTES = 100_000


class Upload(NamedTuple):
    """A form that was posted with a file."""

    fields: Form
    name: str
    file: BinaryIO


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in; ``csrf`` is what their forms carry."""

    id: int
    name: str
    role: str
    csrf: str
    has_password: bool

    @property
    def actor(self) -> str:
        """As the audit names them."""
        return f"user:{self.name}"

    def may(self, role: str) -> bool:
        """Whether the person has this role or a higher one."""
        return people.ROLES.index(self.role) >= people.ROLES.index(role)


def signed_in(request: Request, seen: bool = True) -> Person | None:
    """Who is signed in, if anyone is.

    Args:
        seen: False for a page that loads itself again: nobody has to sit before it.
    """
    token = session_token(request)
    if not token:
        return None
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        user = people.signed_in(opened, token, timedelta(hours=settings.session_idle_h), seen)
        opened.commit()
    return None if user is None else Person(user.id, user.name, user.role, _csrf(token), bool(user.password_hash))


def session_token(request: Request) -> str:
    """The value of the session's cookie; empty where there is none."""
    return request.cookies.get(_cookie_name(), "")


def start_session(response: Response, token: str) -> None:
    """Set the cookie of a session, for the path that all pages lie under.

    A cookie of this name is kept by browsers only where nobody can listen: over https, or on the machine itself.
    """
    response.set_cookie(_cookie_name(), token, httponly=True, samesite="lax", secure=True, path=root() or "/")


def end_session(response: Response) -> None:
    """Let the browser forget the cookie of a session."""
    response.delete_cookie(_cookie_name(), path=root() or "/", secure=True, httponly=True)


def _cookie_name() -> str:
    return _PATH_COOKIE if root() else COOKIE


def at_least(role: str) -> Callable[[Request], Person]:
    """A dependency: who is signed in, with at least that role; others come to the sign-in page, or read 403."""

    def check(request: Request) -> Person:
        person = signed_in(request)
        if person is None:
            asked = f"?{request.url.query}" if request.url.query else ""
            back = request.scope["raw_path"].decode("latin-1") + asked
            if request.method != "GET":  # a form's address is no page
                back = link("/")
            raise HTTPException(303, "Sign in first.", {"Location": link(f"/sign-in?next={quote(back)}")})
        if not person.may(role):
            raise HTTPException(403, f"This is for the role {role}; {person.name} has the role {person.role}.")
        return person

    return check


async def _fields(request: Request) -> Form:
    """Fields of a posted form, which must come from a page of ours."""
    check_origin(request)
    raw = await request.body()
    if len(raw) > _MOST_FORM_BYTES:
        raise HTTPException(413, "The form is too large.")
    return read_form(raw)


AnyForm = Annotated[Form, Depends(_fields)]


def _checked(request: Request, fields: AnyForm) -> Form:
    """Fields of a form that carries its session's token."""
    token = session_token(request)
    given = fields.get("csrf", "")
    if not hmac.compare_digest(given.encode(), _csrf(token).encode()):
        raise HTTPException(403, "The form is not of this session; load the page again.")
    return fields


def _scripted(request: Request) -> Person:
    """Who is signed in, asked for by a script of one of our pages; it answers 401 where nobody is."""
    check_origin(request)
    person = signed_in(request)
    if person is None:
        raise HTTPException(401, "You are not signed in any more.", {"WWW-Authenticate": "Cookie"})
    if request.method != "GET" and not hmac.compare_digest(
        request.headers.get("x-csrf-token", "").encode(), person.csrf.encode()
    ):
        raise HTTPException(403, "The page is not of this session; load it again.")
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
            raise HTTPException(422, "The form holds no file.")
        named = check_fields({"file": file.filename or ""})["file"]
        yield Upload(fields, named, file.file)


PostedForm = Annotated[Form, Depends(_checked)]
PostedFile = Annotated[Upload, Depends(_upload)]
Scripted = Annotated[Person, Depends(_scripted)]
Reviewer = Annotated[Person, Depends(at_least("reviewer"))]
Lead = Annotated[Person, Depends(at_least("lead"))]
Admin = Annotated[Person, Depends(at_least("admin"))]


def own_path(path: str) -> str:
    """Where to go after signing in: a page of ours, whatever is asked for."""
    try:
        parts = urlsplit(path)
    except ValueError:
        return link("/")
    steps = unquote(parts.path).replace("\\", "/").split("/")
    elsewhere = parts.scheme or parts.netloc or path.startswith("/\\") or ".." in steps
    return path if parts.path and not elsewhere and f"{parts.path}/".startswith(link("/")) else link("/")


def _csrf(token: str) -> str:
    """What only pages of the session know: the cookie's value itself is out of their reach."""
    return hmac.new(token.encode(), b"sortline form", hashlib.sha256).hexdigest()
