"""Pages that change things: whoever shows a token of the scope ``models`` is kept signed in by a cookie.

Until people have accounts, a token stands for a person.
"""

from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, HTTPException, Request, Response

from web.auth import Tokens

COOKIE = "sortline_token"
_KEPT_S = 12 * 3600
_MOST_FORM_BYTES = 10_000

Form = dict[str, str]


async def _form(request: Request) -> Form:
    """Fields of a posted form, which must come from a page of ours."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "Forms of other sites are not taken.")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "Forms of other sites are not taken.")
    raw = await request.body()
    if len(raw) > _MOST_FORM_BYTES:
        raise HTTPException(413, "The form is too large.")
    fields = parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _name(request: Request) -> str:
    """Name of the token that signed in; without one the sign-in form is shown."""
    tokens: Tokens = request.app.state.tokens
    token = request.cookies.get(COOKIE)
    caller = tokens.caller(token) if token else None
    if caller is None or "models" not in caller.scopes:
        back = request.url.path if request.method == "GET" else "/model-versions"  # a form's address is no page
        raise HTTPException(303, "Sign in first.", {"Location": f"/sign-in?next={back}"})
    return caller.name


PostedForm = Annotated[Form, Depends(_form)]
SignedIn = Annotated[str, Depends(_name)]


def sign_in(request: Request, response: Response, token: str) -> bool:
    """Set the cookie of a valid token; says whether it is one."""
    tokens: Tokens = request.app.state.tokens
    caller = tokens.caller(token)
    if caller is None or "models" not in caller.scopes:
        return False
    response.set_cookie(
        COOKIE, token, max_age=_KEPT_S, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return True


def own_path(path: str) -> str:
    """Where to go after signing in: a path of ours, whatever is asked for."""
    parts = urlsplit(path)
    if parts.scheme or parts.netloc or not path.startswith("/") or path.startswith(("//", "/\\")):
        return "/model-versions"
    return path
