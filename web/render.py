"""Pages from templates, with headers that let them load nothing from elsewhere."""

import secrets
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from web.field_names import by_field
from web.links import root
from web.sessions import Person

FOLDER = Path(__file__).resolve().parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
}
# What a form carries: whose session it is of, and which page, so that one that is sent twice counts once.
# Without autocomplete="off" Firefox puts the values of before into a page that is loaded again.
_HIDDEN = Markup(
    '<input type="hidden" name="csrf" value="{}" autocomplete="off">'
    '<input type="hidden" name="once" value="{}" autocomplete="off">'
)
# For pages with a script of ours, which asks for more.
_SCRIPT_HEADERS = HEADERS | {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"] + "; script-src 'self'; connect-src 'self'"
}
_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"), autoescape=select_autoescape(default=True), trim_blocks=True
)
_TEMPLATES.filters["by_field"] = by_field


def page(
    name: str, status: int = 200, person: Person | None = None, script: bool = False, **values: Any
) -> HTMLResponse:
    """A page of a template, in which ``root`` stands before the path of each link to a page of ours.

    Args:
        script: whether a script of ours belongs to it.
        person: who is signed in; ``csrf`` is then the hidden field of their forms, ``leads`` and ``admin``
            whether they may do what leads and admins do.
    """
    return HTMLResponse(html(name, person=person, **values), status, headers=_SCRIPT_HEADERS if script else HEADERS)


def html(name: str, person: Person | None = None, **values: Any) -> str:
    """What a template gives: a page, or a piece of one that a script of ours puts into its own."""
    if person is not None:
        csrf = _HIDDEN.format(person.csrf, secrets.token_urlsafe(16))
        values |= {"person": person, "csrf": csrf, "leads": person.may("lead"), "admin": person.may("admin")}
    return _TEMPLATES.get_template(name).render(root=root(), **values)
